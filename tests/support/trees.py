# SPDX-License-Identifier: Apache-2.0
"""Two directory trees, compared file by file: everything that a layer says of a file and that a container can see."""
import hashlib
import os
import stat


def describe(root, skip=()):
    """path -> facts. Hard links are told as the group's first path in the order of names; atime is not told."""
    facts, groups = {}, {}

    def one(path, full):
        st = os.lstat(full)
        kind = stat.S_IFMT(st.st_mode)
        entry = {"type": oct(kind), "mode": oct(stat.S_IMODE(st.st_mode)), "owner": (st.st_uid, st.st_gid),
                 "mtime": st.st_mtime_ns}
        entry["xattrs"] = {name: os.getxattr(full, name, follow_symlinks=False).hex()
                           for name in os.listxattr(full, follow_symlinks=False)
                           if not name.startswith(("trusted.overlay.", "security.selinux", "user.rootlesscontainers"))}
        if kind == stat.S_IFLNK:
            entry["target"] = os.readlink(full)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            entry["device"] = (os.major(st.st_rdev), os.minor(st.st_rdev))
        elif kind == stat.S_IFREG:
            digest = hashlib.sha256()
            with open(full, "rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
            entry.update(size=st.st_size, sha256=digest.hexdigest(), sparse=st.st_blocks * 512 < st.st_size // 2)
        if kind != stat.S_IFDIR:
            entry["links"] = st.st_nlink
            entry["first"] = groups.setdefault((st.st_dev, st.st_ino), path)
        facts[path] = entry

    def walk(path, full):
        one(path or "/", full)
        for name in sorted(os.listdir(full)):
            child = f"{path}/{name}"
            if child in skip:
                continue
            if stat.S_ISDIR(os.lstat(f"{full}/{name}").st_mode):
                walk(child, f"{full}/{name}")
            else:
                one(child, f"{full}/{name}")

    walk("", str(root))
    return facts


def differences(ours, theirs):
    """Lines that say what is not equal; at most 20."""
    lines = []
    for path in sorted(set(ours) | set(theirs)):
        if path not in ours or path not in theirs:
            lines.append(f"{path}: only {'theirs' if path in theirs else 'ours'}")
            continue
        for key in sorted(set(ours[path]) | set(theirs[path])):
            if ours[path].get(key) != theirs[path].get(key):
                lines.append(f"{path}: {key} is {ours[path].get(key)}, theirs {theirs[path].get(key)}")
    return lines[:20]
