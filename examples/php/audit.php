<?php
// audit.php - an audit trail that nobody can change without being noticed
//
//     php audit.php DIR record            takes lines "WHO WHAT" from the standard input; says which are safe
//     php audit.php DIR verify [HASH]     recomputes the chain; with HASH: up to one that was noted elsewhere
//     php audit.php DIR show [WHO]        prints the trail, or what one person did
//
// Each entry carries the hash of the one before it, so that a trail that was rewritten has other hashes from there on. The hash is
// printed with each line: whoever keeps one can prove everything up to it. The log finds damage by itself; the chain finds intent.
//
// SPDX-License-Identifier: MIT
declare(strict_types=1);

require_once __DIR__ . '/../../bindings/php/Walrus.php';

use Walrus\{Entry, Error, Log};

const BEGINNING = '0000000000000000'; // what the first entry has instead of a hash

function chain(string $before, string $payload): string
{
    return substr(hash('sha256', "$before $payload"), 0, 16);
}

// An entry is "HASH-BEFORE PAYLOAD".
function hashOf(?Entry $entry): string
{
    return $entry === null ? BEGINNING : chain(...explode(' ', $entry->data, 2));
}

function record(Log $log): void
{
    // Where it stopped is where the log ends: there is nothing else to restore.
    $hash = hashOf($log->lastIndex() === 0 ? null : $log->get($log->lastIndex()));
    while (($line = fgets(STDIN)) !== false) {
        $line = rtrim($line, "\r\n");
        if (!preg_match('/^\S+ \S/', $line)) {
            fwrite(STDERR, "audit: left out, since it is not \"WHO WHAT\": $line\n");
            continue;
        }
        $payload = json_encode(['at' => gmdate('c'), 'who' => strtok($line, ' '), 'what' => strtok('')], JSON_THROW_ON_ERROR);
        $index = $log->append("$hash $payload"); // on stable storage from here on
        $hash = chain($hash, $payload);
        echo "$index $hash $line\n";
    }
}

function verify(Log $log, ?string $wanted): int
{
    $hash = BEGINNING;
    $found = $wanted === null;
    foreach ($log->entries() as $index => $entry) {
        if (explode(' ', $entry->data, 2)[0] !== $hash) {
            echo "entry $index does not follow from the one before it\n";
            return 1;
        }
        $hash = hashOf($entry);
        $found = $found || $hash === $wanted;
    }
    if (!$found) {
        echo "$wanted is not in the trail: it was rewritten\n";
        return 1;
    }
    echo $log->lastIndex(), " entries, the last one $hash\n";
    return 0;
}

function show(Log $log, ?string $who): void
{
    foreach ($log->entries() as $index => $entry) {
        $one = json_decode(explode(' ', $entry->data, 2)[1], true, flags: JSON_THROW_ON_ERROR);
        if ($who === null || $who === $one['who']) {
            echo "$index $one[who] $one[what]\n";
        }
    }
}

[$directory, $command, $argument] = [...array_slice($argv, 1), null, null, null];
if ($directory === null || !in_array($command, ['record', 'verify', 'show'], true)) {
    fwrite(STDERR, "usage: php audit.php DIR record | verify [HASH] | show [WHO]\n");
    exit(2);
}
try {
    $log = Log::open($directory, ['read_only' => $command !== 'record']);
    $status = match ($command) {
        'record' => record($log),
        'verify' => verify($log, $argument),
        'show' => show($log, $argument),
    };
    $log->close();
    exit($status ?? 0);
} catch (Error $error) {
    fwrite(STDERR, "audit: {$error->getMessage()}\n");
    exit(1);
}
