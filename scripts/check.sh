#!/usr/bin/env bash
# The quick check of a change: the difference to the merge base with main (or with $BASE), including what is
# not committed. Tests run without the race detector and come from Go's cache unless something that they
# use has changed, so that the changed packages and their dependents are tested. Of the end-to-end
# tests those run whose file has changed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
mkdir -p build/log

base=$(git merge-base HEAD "${BASE:-main}" 2>/dev/null || git rev-parse HEAD)
changed=()
while IFS= read -r file; do
  [ ! -e "$file" ] || changed+=("$file")
done < <({ git diff --name-only "$base"; git ls-files --others --exclude-standard; } | sort -u)

matching() { # extended regular expression: the changed files whose names match
  [ ${#changed[@]} = 0 ] || printf '%s\n' "${changed[@]}" | grep -E "$1" || true
}

bash scripts/words.sh

scripts=$(matching '\.sh$')
if [ -n "$scripts" ] && command -v shellcheck >/dev/null; then
  # shellcheck disable=SC2086 # a list of files
  shellcheck -x $scripts
fi

# The linter has the folders of the changed Go files of this module; all folders where its rules changed. It
# runs in parallel with the tests.
folders=$(matching '\.go$' | { grep -v '^tools/' || true; } | while IFS= read -r file; do dirname "./$file"; done | sort -u)
[ -z "$(matching '^(\.golangci\.yml|go\.mod)$')" ] || folders=./...
linter=
if [ -n "$folders" ]; then
  make -s build/tools/golangci-lint
  # shellcheck disable=SC2086 # a list of folders
  build/tools/golangci-lint run $folders >build/log/lint.txt 2>&1 &
  linter=$!
fi

status=0
# golangci-lint has govet; the tests need not do it again.
# shellcheck disable=SC2046 # a list of packages
go test -vet=off $(go list ./... | grep -v /e2e) >build/check.txt 2>&1 || status=1
grep -v -e '(cached)$' -e '\[no test files\]$' build/check.txt || true

tests=$(matching '^e2e/.*_test\.go$' | xargs -r sed -n 's/^func \(Test[A-Z][A-Za-z0-9_]*\)(t .*/\1/p' | paste -sd '|' -)
. scripts/programs.sh
if [ -n "$tests" ]; then
  go test -vet=off -parallel 6 -run "^($tests)\$" ./e2e || status=1
else
  go test -vet=off -c -o /dev/null ./e2e || status=1
fi

if [ -n "$linter" ]; then
  wait $linter || status=1
  cat build/log/lint.txt
fi
exit $status
