# What the virtual machines of tests are made of: Debian's full kernel, an initramfs of busybox, modules and programs, and
# qemu without KVM. Sourced by their scripts, from the repository's root.
#
#   need PACKAGE...      installs what is missing, with apt
#   fetch_kernel         the kernel, once
#   begin_root FOLDER    an empty initramfs: $root
#   add_modules NAME...  modules with what they depend on
#   add_libraries FILE.. all that these programs and libraries load
#   begin_init           the first lines of an /init: file systems, modules
#   pack FILE            the initramfs as qemu wants it
#   "${machine[@]}"      qemu with that kernel; memory, disks, ports and -append are the caller's

vm=target/vm

say() { echo "vm: $*"; }
die() { echo "vm: $*" >&2; exit 1; }

need() {
  local package missing=""
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  [ "$(id -u)" = 0 ] || die "needs root once, to install:$missing"
  say "installing with apt:$missing"
  # An index from the image's making may name versions that are gone.
  update_index
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing </dev/null >/dev/null \
    || die "apt could not install:$missing"
}

update_index() {
  [ "$(id -u)" = 0 ] || die "needs root once, to bring apt's index up to date"
  apt-get update -q </dev/null >/dev/null || die "apt could not bring its index up to date"
}

# The package of the kernel; nothing where apt's index is missing.
kernel_package() { { apt-cache depends linux-image-amd64 2>/dev/null || true; } | awk '/Depends:/ { print $2; exit }'; }

# Its file, into a folder.
download_kernel() {
  [ -n "$1" ] || return
  say "fetching $1"
  (cd "$2" && apt-get download -q "$1" >/dev/null 2>&1)
}

# The kernel with all modules: the one for clouds has few.
fetch_kernel() {
  mkdir -p "$vm"
  if [ ! -e "$vm/kernel/vmlinuz" ]; then
    local image
    rm -rf "$vm/kernel" "$vm/package"
    mkdir -p "$vm/kernel" "$vm/package"
    image=$(kernel_package)
    if ! download_kernel "$image" "$vm/package"; then
      update_index
      image=$(kernel_package)
      [ -n "$image" ] || die "apt knows no linux-image-amd64"
      download_kernel "$image" "$vm/package" || die "apt could not fetch $image"
    fi
    dpkg-deb -x "$vm"/package/*.deb "$vm/kernel"
    rm -rf "$vm/package"
    ln -s "$(basename "$(echo "$vm"/kernel/boot/vmlinuz-*)")" "$vm/kernel/boot/vmlinuz"
    ln -s boot/vmlinuz "$vm/kernel/vmlinuz"
  fi
  release=$(basename "$(echo "$vm"/kernel/lib/modules/*)")
  depmod -b "$vm/kernel" "$release" 2>/dev/null
  machine=(qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -nographic -no-reboot -nodefaults
    -kernel "$vm/kernel/vmlinuz")
}

begin_root() {
  root=$1
  rm -rf "$root"
  mkdir -p "$root"/{bin,dev,proc,sys,tmp,modules,lib,lib64,usr/lib}
  cp "$(command -v busybox)" "$root/bin/busybox"
  modules=""
}

# In the order they are to be loaded.
add_modules() {
  local name depends file
  for name in "$@"; do
    depends=$(modprobe -d "$PWD/$vm/kernel" -S "$release" --show-depends "$name") || die "the kernel has no $name"
    for file in $(echo "$depends" | awk '$1 == "insmod" { print $2 }'); do
      case " $modules " in *" $(basename "$file") "*) continue ;; esac
      modules="$modules $(basename "$file")"
      cp "$file" "$root/modules/"
    done
  done
}

add_libraries() {
  local file library
  for file in "$@"; do
    ldd "$file" | awk '/=> \// { print $3 } /^\t\// { print $1 }'
  done | sort -u | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
}

begin_init() {
  cat <<INIT
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mkdir -p /dev/shm
/bin/busybox mount -t tmpfs shm /dev/shm
# The firmware leaves the console in the midst of a line.
echo
for module in $modules; do /bin/busybox insmod /modules/\$module; done
INIT
}

pack() {
  chmod +x "$root/init"
  (cd "$root" && find . | cpio -o -H newc --quiet) > "$1"
}
