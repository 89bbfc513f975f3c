#!/usr/bin/env bash
# Writes what packages have besides the binary, with the binary's own words: the manual page, and
# completions for bash, zsh and fish. release/assets.sh BINARY FOLDER
set -euo pipefail
binary=${1:?expected a binary that runs here}
folder=${2:?expected a folder}
name=defender-scan-exporter
mkdir -p "$folder"
"$binary" docs man >"$folder/$name.1"
gzip --best --no-name --force "$folder/$name.1"
"$binary" completions bash >"$folder/$name.bash"
"$binary" completions zsh >"$folder/_$name"
"$binary" completions fish >"$folder/$name.fish"
