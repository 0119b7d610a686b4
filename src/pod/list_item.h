// SPDX-License-Identifier: Apache-2.0
// What a list says of one object, as its reader encodes it, kept until the object looks different in a
// list. Part of the object's state: under its lock.
//
// Of what a list shows, only `look` can change while the object is there: a container's and a pod's
// state. Names, labels, annotations, image and creation time are those of its making.
#pragma once

#include <string>

namespace berth::pod {

template <class Status, class Look>
class ListItem {
 public:
  using Encode = void (*)(const Status&, std::string* out);  // appends

  template <class MakeStatus>
  void AppendTo(std::string* out, Look look, Encode encode, const MakeStatus& status) {
    if (encode_ != encode || look_ != look) {
      bytes_.clear();
      encode(status(), &bytes_);
      bytes_.shrink_to_fit();
      encode_ = encode;
      look_ = look;
    }
    out->append(bytes_);
  }

 private:
  Encode encode_ = nullptr;
  Look look_{};
  std::string bytes_;
};

}  // namespace berth::pod
