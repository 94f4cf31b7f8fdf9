#!/usr/bin/env bash
# Prints the path of a Chromium for the browser tests; installs Debian's when run as root there.
# CHROMIUM names another one.
set -euo pipefail

find_chromium() {
    local candidate
    for candidate in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
        if [[ -n "$candidate" ]] && command -v "$candidate" >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    local application="/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
    [[ -x "$application" ]] && printf '%s\n' "$application"
}

if find_chromium; then
    exit 0
fi
if [[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null 2>&1 && grep -qs '^ID=debian' /etc/os-release; then
    printf 'Installing chromium for the browser tests\n' >&2
    export DEBIAN_FRONTEND=noninteractive
    if { apt-get -o DPkg::Lock::Timeout=300 update -qq && apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends chromium fonts-liberation; } </dev/null >/dev/null 2>&1; then
        find_chromium && exit 0
    fi
fi
printf 'The browser tests need a Chromium: install one (Debian: apt-get install chromium) or set CHROMIUM to its path.\n' >&2
exit 1
