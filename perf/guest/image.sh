# Packs the guest: busybox, a few programs with their libraries, kernel modules, podlane, and the two scripts it runs.
# shellcheck shell=bash

# make_image OUT PODLANE
make_image() {
    local tree
    tree=$(mktemp -d "$work/tree.XXXXXX")
    mkdir -p "$tree"/{bin,usr/sbin,proc,sys,dev,tmp,run,etc,modules}
    cp "$(command -v busybox)" "$tree/bin/busybox"
    local applet
    for applet in $(busybox --list); do
        [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
    done
    local program
    for program in $guest_programs; do
        add_program "$tree" "$(command -v "$program")"
    done
    add_modules "$tree" virtio_net igb veth xsk_diag
    cp "$2" "$tree/usr/sbin/podlane"
    cp "$here/init" "$tree/init"
    cp "$here/check" "$here/podlane.toml" "$tree/etc/"
    chmod 755 "$tree/init" "$tree/etc/check"
    (cd "$tree" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$1"
    rm -rf "$tree"
}

# A program of the host and the libraries it is linked with.
add_program() {
    local tree=$1 program=$2 library
    cp -L "$program" "$tree/usr/sbin/$(basename "$program")"
    for library in $(ldd "$program" | grep -oE '/[^ )]+'); do
        mkdir -p "$tree$(dirname "$library")"
        cp -L "$library" "$tree$library"
    done
}

# Modules with what they depend on, numbered in the order to load them; unpacked, as busybox's insmod wants them.
add_modules() {
    local tree=$1 number=100 module
    shift
    for module; do
        modprobe -d "$cache/kernel/usr" -S "$version" --ignore-install --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$work/modules"
    while read -r module; do
        number=$((number + 1))
        case $module in
        *.xz) xz -dc "$module" >"$tree/modules/$number-$(basename "$module" .xz)" ;;
        *.zst) zstd -qdc "$module" >"$tree/modules/$number-$(basename "$module" .zst)" ;;
        *) cp "$module" "$tree/modules/$number-$(basename "$module")" ;;
        esac
    done <"$work/modules"
}
