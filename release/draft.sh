#!/usr/bin/env bash
# Makes a draft of the release on GitHub, with the files of target/release-files: release/draft.sh TAG
# A person reads it and publishes it. Needs gh.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:?expected a tag}
gh release create "$tag" --draft --verify-tag --title "$tag" --notes-file CHANGELOG.md target/release-files/*
