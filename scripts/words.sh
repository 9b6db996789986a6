#!/usr/bin/env bash
# Finds the phrases of scripts/words.txt in all texts: one Perl regular expression a line, in any case,
# at the bounds of words; the text after a tab is what to write instead.
set -euo pipefail
cd "$(dirname "$0")/.."

status=0
while IFS=$'\t' read -r phrase better; do
  [[ -n $phrase && $phrase != '#'* ]] || continue
  if git grep --untracked -nIiwP -e "$phrase" -- '*.go' '*.md' '*.yml' '*.yaml' '*.html' '*.tmpl' '*.sh' '*.json' \
    '*.txtar' Makefile Dockerfile >&2; then
    echo "scripts/words.txt: not \"$phrase\"${better:+, but: $better}" >&2
    status=1
  fi
done <scripts/words.txt
exit $status
