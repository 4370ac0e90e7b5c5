#!/usr/bin/env bash
# Fuzzes the plain C of the compiled engine: tools/fuzz_wire.sh SECONDS (3600 for an hour), with any C compiler that has
# sanitizers. With clang, libFuzzer chooses the streams of frames; else the program's own generator does.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-60}"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags=(-g -O1 -Wall -Wextra -fsanitize=address,undefined -fno-sanitize-recover=all -Isrc/ws_load_test/engine/native)

# The queues of a session need a tenth of the time: they are short, and their order is all there is to them.
"${CC:-cc}" "${flags[@]}" tests/native/fuzz_session.c -o "$out/queues"
"$out/queues" $((seconds / 10)) "$RANDOM"
if command -v clang > /dev/null && clang "${flags[@]}" -fsanitize=fuzzer -DLIBFUZZER tests/native/fuzz_wire.c -o "$out/fuzz" 2> /dev/null; then
  "$out/fuzz" -max_total_time="$seconds" -max_len=100000 "$out"
else
  "${CC:-cc}" "${flags[@]}" tests/native/fuzz_wire.c -o "$out/fuzz"
  "$out/fuzz" "$seconds" "$RANDOM"
fi
