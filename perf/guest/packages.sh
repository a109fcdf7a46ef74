# What a run needs and the host may lack: programs, installed through apt, and a kernel, unpacked to the cache and never
# installed. Both come from Debian suites newer than the host may be, so apt is given lists of its own in the cache; the
# host's own sources stay as they are. Sets $missing to the reason when something is not to be had.
# shellcheck shell=bash

# The first kernel in which virtio_net has zero-copy is newer than 6.12; igb has it since 6.14.
suite=trixie-backports
# igb came with QEMU 8; bookworm has 7.2.
oldest_qemu=8
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
# Guest programs, by package: iproute2 sees more than busybox's ip, and jq reads what the daemon says.
guest_programs="dash ip ss jq socat"

qemu_version() {
    qemu-system-x86_64 --version | sed -n '1s/.*version \([0-9.]*\).*/\1/p'
}

# The Debian mirror the host already uses, or Debian's own.
mirror() {
    local known
    known=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -m1 '/debian/*$' || true)
    echo "${DEBIAN_MIRROR:-${known:-http://deb.debian.org/debian}}"
}

# apt with sources of our own: side_apt DIRECTORY-OF-STATE SUITE... -- ARGUMENTS
side_apt() {
    local state=$1 suites=()
    shift
    while [ "$1" != -- ]; do suites+=("$1") && shift; done
    shift
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    printf "deb [signed-by=$keyring] $(mirror) %s main\n" "${suites[@]}" >"$state/sources.list"
    apt-get -qq -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o Dir::State::lists="$state/lists" -o Dir::Cache::archives="$state/archives" -o Dir::Cache::pkgcache= \
        -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root -o Acquire::Languages=none \
        -o APT::Update::Error-Mode=any "$@"
}

have_programs() {
    local wanted=() program
    for program in cpio:cpio xz:xz-utils zstd:zstd depmod:kmod busybox:busybox-static jq:jq socat:socat ip:iproute2; do
        command -v "${program%%:*}" >/dev/null || wanted+=("${program#*:}")
    done
    ldd "$(command -v busybox)" >/dev/null 2>&1 && wanted+=(busybox-static)
    local qemu=0
    command -v qemu-system-x86_64 >/dev/null && qemu=$(qemu_version)
    [ "${qemu%%.*}" -ge "$oldest_qemu" ] || wanted+=(qemu-system-x86)
    [ ${#wanted[@]} -gt 0 ] || return 0
    missing="${wanted[*]} (QEMU $oldest_qemu or newer) not installed, and"
    if ! command -v apt-get >/dev/null; then missing="$missing there is no apt here: install them"; return 1; fi
    if [ "$(id -u)" != 0 ]; then missing="$missing apt needs root: install them"; return 1; fi
    say "installing ${wanted[*]}"
    install_programs "${wanted[@]}" || { missing="$missing apt could not install them"; return 1; }
}

install_programs() {
    export DEBIAN_FRONTEND=noninteractive
    if [ "$(. /etc/os-release && echo "$VERSION_CODENAME")" = bookworm ]; then
        local state=$cache/apt-bookworm suites=(bookworm bookworm-backports)
        side_apt "$state" "${suites[@]}" -- update &&
            side_apt "$state" "${suites[@]}" -- install -y --no-install-recommends -t bookworm-backports "$@"
    else
        apt-get -qq update && apt-get -qq install -y --no-install-recommends "$@"
    fi >"$cache/apt.log" 2>&1
}

# Sets $kernel, $modules and $version: the newest kernel of the suite, or the one the cache has.
have_kernel() {
    local tree=$cache/kernel
    if [ ! -e "$tree/complete" ]; then
        rm -rf "$tree"
        mkdir -p "$tree"
        say "fetching the kernel of $suite"
        fetch_kernel "$tree" >"$cache/kernel.log" 2>&1 || {
            missing="no kernel from Debian $suite: $(tail -n 1 "$cache/kernel.log")"
            return 1
        }
        touch "$tree/complete"
    fi
    modules=$(echo "$tree"/usr/lib/modules/*)
    version=$(basename "$modules")
    kernel=$modules/vmlinuz
    [ -e "$kernel" ] || kernel=$tree/boot/vmlinuz-$version
    [ -e "$kernel" ] || { missing="$tree holds no kernel image; remove it and run again"; return 1; }
}

fetch_kernel() {
    local tree=$1 state=$cache/apt-kernel release
    [ -e "$keyring" ] || { echo "no $keyring (install debian-archive-keyring)"; return 1; }
    command -v dpkg-deb >/dev/null || { echo "no dpkg-deb"; return 1; }
    mkdir -p "$state"
    : >"$state/status"
    local apt=(side_apt "$state" "$suite" -- -o Dir::State::status="$state/status")
    "${apt[@]}" update || return 1
    # The meta-package names the release; the parts that hold files are asked for by name.
    release=$(kernel_release "$state") || return 1
    (cd "$state/archives" && rm -f ./*.deb && "${apt[@]}" download "linux-binary-$release" "linux-modules-$release") || return 1
    local package
    for package in "$state"/archives/*.deb; do
        dpkg-deb -x "$package" "$tree" || return 1
    done
    rm -f "$state"/archives/*.deb
    depmod -b "$tree/usr" "$release"
}

# What linux-image-amd64 of the lists depends on.
kernel_release() {
    local release
    release=$(apt-cache -o Dir::Etc::sourcelist="$1/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$1/lists" \
        -o Dir::State::status="$1/status" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        show --no-all-versions linux-image-amd64 2>/dev/null | grep -oE 'linux-image-[0-9][^ ]*' | head -n 1) || true
    [ -n "$release" ] || { echo "its lists name no linux-image-amd64" >&2; return 1; }
    echo "${release#linux-image-}"
}
