# SPDX-License-Identifier: Apache-2.0
# Debian 12 packages that each part needs; sourced by ./quickstart and ./test. Installs only what is missing.
BUILD_PACKAGES="g++ cmake ninja-build pkg-config protobuf-compiler protobuf-compiler-grpc libgrpc++-dev libprotobuf-dev
  libexpected-dev libfmt-dev libspdlog-dev nlohmann-json3-dev libtomlplusplus-dev libcli11-dev libcurl4-openssl-dev
  libssl-dev zlib1g-dev libisal-dev libzstd-dev libsqlite3-dev libseccomp-dev libyaml-dev libmd-dev
  libgtest-dev libgmock-dev libbenchmark-dev"
RUN_PACKAGES="crun iproute2 ca-certificates"
IMAGE_PACKAGES="busybox-static umoci jq"
TEST_PACKAGES="runc containernetworking-plugins iptables docker-registry skopeo umoci busybox-static jq nftables e2fsprogs util-linux python3 procps openssl curl sqlite3 libfaketime
  clang-format-19 clang-19 libclang-rt-19-dev"

install_missing() {
  local missing=() name
  for name in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$name" 2>/dev/null)" = "ii " ] || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  echo "installing: ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# build PRESET [TARGET...]: configures and builds the targets, or everything.
build() {
  local preset=$1 launcher=()
  shift
  if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  cmake --preset "$preset" "${launcher[@]}" >/dev/null
  cmake --build --preset "$preset" ${1:+--target "$@"}
}
