#!/usr/bin/env bash
# An installed ringkernel is enough to build and run a program: no source tree, no build tree.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cmake --install "$RK_BUILD" --prefix "$folder/prefix" >"$folder/log" || { cat "$folder/log"; exit 1; }
cp -r "$RK_SOURCE/tests/consumer" "$folder/consumer"

# Nothing private or of the tests is installed, and no link into the source tree.
if find "$folder/prefix/include" -path '*/src/*' -o -name '*_test*' -o -type l | grep .; then
  echo "the install holds files that are not public"
  exit 1
fi
if grep -rnF "$RK_SOURCE" "$folder/prefix/include" "$folder/prefix/lib" --include='*.hpp' --include='*.cmake'; then
  echo "the install points into the source tree"
  exit 1
fi

arguments=()
nvcc=$(command -v nvcc || { [ -x /usr/local/cuda/bin/nvcc ] && echo /usr/local/cuda/bin/nvcc; } || true)
if [ -n "$nvcc" ] && [ "$("$nvcc" --version | sed -nE 's/.*release ([0-9]+)\..*/\1/p')" -ge 13 ]; then
  arguments+=(-DCONSUMER_CUDA=ON "-DCMAKE_CUDA_COMPILER=$nvcc")
fi
cmake -G Ninja -S "$folder/consumer" -B "$folder/build" -DCMAKE_PREFIX_PATH="$folder/prefix" "${arguments[@]}"
cmake --build "$folder/build" -j 2
"$folder/build/consumer" | grep -x 'consumer: ok'
