#!/usr/bin/env bash
# A program with another layout of its actors goes on where the old one stopped, or is refused.
set -euo pipefail
"$RK_SOURCE/scripts/check_migration" "$RK_BUILD"
