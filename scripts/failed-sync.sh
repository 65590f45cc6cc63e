#!/usr/bin/env bash
# Tests a failed sync on a real kernel. The store is on a loop device whose backing file runs out of space. A put fails,
# because the kernel cannot write its page back. The page stays in the cache, and is marked clean. Then space is freed. The
# store is opened in the same boot, and more puts are acknowledged. Then the page cache is dropped, as in a reboot. Every
# acknowledged put must still be there.
#
# Needs root, loop devices and mkfs.ext4. `scripts/failed-sync.sh [VDE]`: VDE is the command to test. Without it,
# the script builds the command.
set -euo pipefail
cd "$(dirname "$0")/.."
vde=${1:-}
if [[ -z $vde ]]; then
  cargo build --quiet -p vde-store --bin vde
  vde=${CARGO_TARGET_DIR:-target}/debug/vde
fi
vde=$(realpath "$vde")
work=$(mktemp -d)
thin=$work/thin mount=$work/mount loop=
mkdir "$thin" "$mount"
attach() {
  loop=$(losetup --find --show "$thin/image")
  mount -t ext4 "$loop" "$mount"
}
detach() {
  umount "$mount"
  losetup --detach "$loop"
  loop=
}
clean_up() {
  umount "$mount" 2>/dev/null || true
  [[ -z $loop ]] || losetup --detach "$loop"
  umount "$thin" 2>/dev/null || true
  rm -r "$work"
}
trap clean_up EXIT

mount -t tmpfs -o size=80m none "$thin"
truncate -s 300M "$thin/image"
mkfs.ext4 -q -F -b 4096 -O ^has_journal -E lazy_itable_init=0,nodiscard "$thin/image"
attach
store=$mount/store.vde
head -c 10000 /dev/zero | tr '\0' x >"$work/value"
"$vde" put "$store" before "$work/value"
acknowledged=(before)
sync
fallocate --dig-holes "$thin/image"
dd if=/dev/zero of="$thin/filler" bs=1M 2>/dev/null || true
dd if=/dev/zero of="$thin/rest" bs=4k 2>/dev/null || true

# A few pages of the image are left.
for i in {1..1000}; do
  "$vde" put "$store" "during $i" "$work/value" 2>"$work/said" || break
  acknowledged+=("during $i")
done
if [[ ! -s $work/said ]]; then
  echo "no put failed, so nothing was tested"
  exit 2
fi
echo "the disk is full after $((i - 1)) puts: $(cat "$work/said")"
rm "$thin/filler" "$thin/rest"
for i in 1 2 3; do
  "$vde" put "$store" "after $i" "$work/value"
  acknowledged+=("after $i")
done
echo "space was freed: three puts were acknowledged"
detach
attach
"$vde" verify "$store"
for key in "${acknowledged[@]}"; do
  "$vde" get "$store" "$key" | cmp --silent - "$work/value" || {
    echo "after the page cache was dropped, the value of '$key' is not the acknowledged one"
    exit 1
  }
done
echo "the page cache was dropped: every acknowledged put is still there"
