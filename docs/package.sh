#!/bin/sh
# Builds chunkferry as one static file for this kind of machine (Linux with glibc), and lays out what is handed on:
#
#     docs/package.sh tarball DIR    DIR/chunkferry-VERSION-TARGET.tar.gz, and its SHA-256 beside it
#     docs/package.sh root DIR       the root directory of the image of docs/Dockerfile
#
# CHUNKFERRY_BUILT=FILE takes a program that was built before. The same source, compiler and linker give the same bytes, wherever
# the source and the crates lie.
set -eu
cd "$(dirname "$0")/.."
umask 022
what=${1:?tarball or root} out=${2:?a folder to write to}

target=$(rustc -vV | sed -n 's/^host: //p')
case $target in *-linux-gnu) ;; *) echo "There is no static build for $target; Linux with glibc is needed." >&2; exit 1 ;; esac
crates=${CARGO_HOME:-$HOME/.cargo}/registry/src
built=${CHUNKFERRY_BUILT:-}
if [ -z "$built" ]; then
  # The unit separator stands between flags, so a path may have blanks.
  CARGO_ENCODED_RUSTFLAGS=$(printf -- '-Ctarget-feature=+crt-static\037--remap-path-prefix=%s=/crates\037--remap-path-prefix=%s=/source' "$crates" "$PWD")
  CFLAGS="-ffile-prefix-map=$crates=/crates ${CFLAGS:-}"
  export CARGO_ENCODED_RUSTFLAGS CFLAGS
  cargo build --release --locked --bin chunkferry --target "$target"
  built=${CARGO_TARGET_DIR:-target}/$target/release/chunkferry
fi

case $what in
  tarball)
    name=chunkferry-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)-$target
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    tree=$work/$name
    mkdir -p "$tree/completions" "$out"
    install -m 755 "$built" "$tree/chunkferry"
    cp README.md LICENSE-APACHE LICENSE-MIT "$tree"
    cp -R docs "$tree/docs"
    # These need the source.
    rm -f "$tree/docs/Dockerfile"* "$tree/docs/package.sh"
    "$built" man --dir "$tree/man/man1"
    "$built" completions bash > "$tree/completions/chunkferry.bash"
    "$built" completions fish > "$tree/completions/chunkferry.fish"
    "$built" completions zsh > "$tree/completions/_chunkferry"
    # Each crate of the program: its licence, and the texts that have to go with a copy.
    mkdir "$tree/licenses"
    cargo tree --locked -p chunkferry -e normal --prefix none --target "$target" --format '{p} {l}' | sed 's/ (proc-macro)//' |
      grep -v '(/\|(\*)' | LC_ALL=C sort -u > "$tree/licenses/list"
    while read -r crate version _; do
      texts=$(find "$crates"/*/"$crate-${version#v}" -maxdepth 1 \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'copyright*' \
        -o -iname 'notice*' -o -iname 'unlicense*' \) 2>/dev/null || true)
      if [ -n "$texts" ]; then
        mkdir "$tree/licenses/$crate-${version#v}"
        printf '%s\n' "$texts" | while read -r text; do cp -R "$text" "$tree/licenses/$crate-${version#v}"; done
      fi
    done < "$tree/licenses/list"
    # The time of the commit, or SOURCE_DATE_EPOCH.
    time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
    tar --create --format=ustar --sort=name --mtime="@$time" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
      --directory "$work" "$name" | gzip -9n > "$out/$name.tar.gz"
    (cd "$out" && sha256sum "$name.tar.gz" | tee "$name.tar.gz.sha256")
    ;;
  root)
    mkdir -p "$out/etc/ssl/certs" "$out/state" "$out/tmp"
    chmod 1777 "$out/tmp"
    chmod 700 "$out/state"
    install -m 755 "$built" "$out/chunkferry"
    install -m 644 /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs"
    # Engines lay their own over it. Without one, glibc does not know this name.
    printf '127.0.0.1 localhost\n::1 localhost\n' > "$out/etc/hosts"
    ;;
  *) echo "tarball or root, not $what" >&2; exit 1 ;;
esac
