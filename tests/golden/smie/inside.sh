tree=root
umask 022
mkdir -p "$tree/proc" "$tree/dev" "$tree/smie/tmp"
mount -t tmpfs -o mode=1777 tmp "$tree/smie/tmp"
mount -t proc proc "$tree/proc"
mount -t tmpfs -o mode=755 dev "$tree/dev"
: >"$tree/dev/full"; mount --bind /dev/full "$tree/dev/full"
: >"$tree/dev/null"; mount --bind /dev/null "$tree/dev/null"
: >"$tree/dev/random"; mount --bind /dev/random "$tree/dev/random"
: >"$tree/dev/tty"; mount --bind /dev/tty "$tree/dev/tty"
: >"$tree/dev/urandom"; mount --bind /dev/urandom "$tree/dev/urandom"
: >"$tree/dev/zero"; mount --bind /dev/zero "$tree/dev/zero"
mkdir -m 1777 "$tree/dev/shm"
ln -s /proc/self/fd "$tree/dev/fd"; ln -s /proc/self/fd/0 "$tree/dev/stdin"
ln -s /proc/self/fd/1 "$tree/dev/stdout"; ln -s /proc/self/fd/2 "$tree/dev/stderr"
mkdir -p "$tree"/smie/apt
mount --bind '/home/ops/a folder' "$tree"/smie/apt
mount -o remount,bind,ro "$tree"/smie/apt
mkdir -p "$tree"/smie/work
mount --bind /home/ops/work "$tree"/smie/work
true
