#!/usr/bin/env bash
# Fuzzes the plain C of the compiled engine, one program after the other: tools/fuzz_wire.sh SECONDS (3600 for an hour), with
# any C compiler that has sanitizers. With clang, libFuzzer chooses the inputs where a program has an entry for it; else its
# own generator does.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-60}"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags=(-g -O1 -Wall -Wextra -fsanitize=address,undefined -fno-sanitize-recover=all -Isrc/ws_load_test/engine/native)

# The queues of a session, and what is asked of the kernel, need a tenth of the time each.
"${CC:-cc}" "${flags[@]}" tests/native/fuzz_session.c -o "$out/queues"
"$out/queues" $((seconds / 10)) "$RANDOM"
"${CC:-cc}" "${flags[@]}" -D_GNU_SOURCE tests/native/fuzz_kernel.c -o "$out/kernel"
"$out/kernel" $((seconds / 10)) "$RANDOM"
for each in fuzz_wire fuzz_talk fuzz_dial fuzz_marker; do
  if command -v clang > /dev/null && clang "${flags[@]}" -fsanitize=fuzzer -DLIBFUZZER "tests/native/$each.c" -o "$out/$each" 2> /dev/null; then
    mkdir "$out/$each.inputs"
    "$out/$each" -max_total_time=$((seconds * 9 / 40)) -max_len=100000 "$out/$each.inputs"
  else
    "${CC:-cc}" "${flags[@]}" "tests/native/$each.c" -o "$out/$each"
    "$out/$each" $((seconds * 9 / 40)) "$RANDOM"
  fi
done
