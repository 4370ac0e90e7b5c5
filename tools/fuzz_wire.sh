#!/usr/bin/env bash
# Fuzzes the C of the compiled engine, frames and contents of messages, for half of the time each: tools/fuzz_wire.sh SECONDS
# (3600 for an hour), with any C compiler that has sanitizers. With clang, libFuzzer chooses the inputs; else the programs' own
# generators do.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="$(((${1:-60} + 1) / 2))"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags=(-g -O1 -Wall -Wextra -fsanitize=address,undefined -fno-sanitize-recover=all -Isrc/ws_load_test/engine/native)
for each in fuzz_wire fuzz_talk; do
  if command -v clang > /dev/null && clang "${flags[@]}" -fsanitize=fuzzer -DLIBFUZZER "tests/native/$each.c" -o "$out/$each" 2> /dev/null; then
    mkdir "$out/$each.inputs"
    "$out/$each" -max_total_time="$seconds" -max_len=100000 "$out/$each.inputs"
  else
    "${CC:-cc}" "${flags[@]}" "tests/native/$each.c" -o "$out/$each"
    "$out/$each" "$seconds" "$RANDOM"
  fi
done
