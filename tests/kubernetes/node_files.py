# SPDX-License-Identifier: Apache-2.0
"""The node's files and clock, for tests whose kubectl may be on another machine than the node."""
import datetime
import pathlib


class NodeFiles:
    """The node is this machine."""

    def read(self, path):
        return pathlib.Path(path).read_text()

    def write(self, path, text):
        """The directories above it are made."""
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def directory(self, path):
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)

    def remove(self, path):
        pathlib.Path(path).unlink()

    def empty(self, path):
        for child in pathlib.Path(path).iterdir():
            child.unlink()

    def owner(self, path):
        return pathlib.Path(path).stat().st_uid

    def now(self):
        return datetime.datetime.now(datetime.timezone.utc)
