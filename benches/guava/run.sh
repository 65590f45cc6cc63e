#!/usr/bin/env bash
# Guava's Striped on the workloads of the report. Needs JDK 17 or newer and Guava (on Debian: libguava-java).
set -euo pipefail
cd "$(dirname "$0")"

jar=${GUAVA_JAR:-/usr/share/java/guava.jar}
if ! command -v javac >/dev/null || ! command -v java >/dev/null; then
  echo "Skipped: there is no JDK here (on Debian: apt-get install openjdk-17-jdk-headless)."
  exit 0
fi
if [ ! -e "$jar" ]; then
  echo "Skipped: there is no Guava at $jar (on Debian: apt-get install libguava-java; else set GUAVA_JAR)."
  exit 0
fi

classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT
javac -nowarn -cp "$jar" -d "$classes" GuavaStriped.java
java -version 2>&1 | head -1
java -cp "$jar:$classes" GuavaStriped
