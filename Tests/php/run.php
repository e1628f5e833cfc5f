<?php
// run.php - the tests of bindings/php: the scenarios, and what is PHP's own
//
// SPDX-License-Identifier: MIT
declare(strict_types=1);
error_reporting(E_ALL);
set_error_handler(fn (int $level, string $text, string $file, int $line) => throw new ErrorException($text, 0, $level, $file, $line));

require __DIR__ . '/../../bindings/php/Walrus.php';
require __DIR__ . '/Scenario.php';

use Walrus\{Entry, Error, Log};

$passed = $failed = 0;

function test(string $name, callable $test): void
{
    global $passed, $failed;
    $place = sys_get_temp_dir() . '/walrus-php-' . getmypid() . '-' . bin2hex(random_bytes(4));
    mkdir($place);
    try {
        $test("$place/log");
        $passed++;
    } catch (Skipped $skipped) {
        echo "skipped $name: {$skipped->getMessage()}\n";
    } catch (Throwable $error) {
        $failed++;
        echo "FAILED  $name: ", get_class($error), ": {$error->getMessage()} at {$error->getFile()}:{$error->getLine()}\n";
    } finally {
        gc_collect_cycles();
        array_map(unlink(...), glob("$place/log/*"));
        is_dir("$place/log") && rmdir("$place/log");
        rmdir($place);
    }
}

function check(bool $condition, mixed $came = null): void
{
    $condition || throw new Exception('this came: ' . var_export($came, true));
}

function refused(int $code, callable $do): Error
{
    try {
        $do();
    } catch (Error $error) {
        check($error->getCode() === $code, $error->getMessage());
        return $error;
    }
    throw new Exception("error $code was expected, and success came");
}

$files = glob(__DIR__ . '/../scenarios/*.scenario');
check($files !== []);
foreach ($files as $file) {
    test(basename($file), fn (string $path) => (new Scenario($path))->run($file));
}

test('an error has its code and its details', function (string $path) {
    $log = Log::open($path);
    check(refused(Error::NOT_FOUND, fn () => $log->get(7))->index === 7);
    check($log->meta('none') === null);
    refused(Error::INVALID, fn () => $log->metaSet("a\0b", ''));
    refused(Error::INVALID, fn () => $log->appendPacked('abc', [1, 1]));
    refused(Error::LOCKED, fn () => Log::open($path));
    check(refused(Error::IO, fn () => Log::open("$path/no/parent"))->errno === 2);
});

test('a closed log never reaches C', function (string $path) {
    $log = Log::open($path);
    $log->append('a');
    [$cursor, $txn] = [$log->cursor(), $log->begin()];
    $log->close();
    $log->close();
    refused(Error::CLOSED, fn () => $log->append('b'));
    refused(Error::CLOSED, fn () => $log->get(1));
    refused(Error::CLOSED, fn () => $log->allMeta());
    refused(Error::CLOSED, fn () => $cursor->next());
    refused(Error::CLOSED, fn () => $cursor->wait());
    refused(Error::CLOSED, fn () => $txn->append('b'));
    check([$log->nextIndex(), $cursor->position()] === [0, 0]);
    $cursor->close();
    $cursor->close();
    $txn->rollback();
    $txn->rollback();
    refused(Error::CLOSED, fn () => $cursor->seek(0));
    refused(Error::TXN_STATE, fn () => $txn->state());
});

test('a loop may do anything', function (string $path) {
    $log = Log::open($path, ['sync' => 'none']);
    $log->appendBatch(array_map(strval(...), range(1, 600))); // more than a page
    $found = [];
    foreach ($log->entries() as $index => $entry) {
        $found[$index] = $entry->data;
        $log->append('later');
    }
    check($found === array_combine(range(1, 600), array_map(strval(...), range(1, 600))), count($found));
    refused(Error::CLOSED, function () use ($log) {
        foreach ($log->scan(1) as $entry) {
            $log->close();
        }
    });
});

test('a wait ends', function (string $path) {
    $log = Log::open($path);
    $cursor = $log->cursor();
    refused(Error::TIMEOUT, fn () => $cursor->wait(0.005));
    check(iterator_to_array($cursor->follow(0.005)) === []);
    $log->append('a');
    check(array_map(fn (Entry $entry) => $entry->data, iterator_to_array($cursor->follow(0.005))) === [1 => 'a']);
});

test('convert keeps everything but the format', function (string $path) {
    $log = Log::open($path);
    $log->appendEntry(new Entry('hello', term: 3, index: 5));
    $log->metaSet('key', 'value');
    try {
        Log::convert($path, "$path.json", ['format' => 'json']);
        $copy = Log::open("$path.json", ['format' => 'json']);
        check([$copy->get(5)->data, $copy->get(5)->term, $copy->meta('key')] === ['hello', 3, 'value']);
        $copy->close();
    } finally {
        array_map(unlink(...), glob("$path.json/*"));
        rmdir("$path.json");
    }
    $log->close();
    refused(Error::FORMAT, fn () => Log::open($path, ['format' => 'json']));
    refused(Error::INVALID, fn () => Log::convert($path, $path));
});

test('what is forgotten is freed', function (string $path) {
    $log = Log::open($path);
    $log->append('a');
    $cursor = $log->cursor(); // keeps the log
    unset($log);
    check($cursor->next()->data === 'a');
    unset($cursor);
    check(Log::open($path)->get(1)->data === 'a');
});

test('a forked child is told', function (string $path) {
    if (!function_exists('pcntl_fork')) {
        throw new Skipped('PHP has no pcntl');
    }
    $log = Log::open($path);
    $cursor = $log->cursor();
    $child = pcntl_fork();
    if ($child === 0) {
        try {
            refused(Error::FORKED, fn () => $log->append('b'));
            refused(Error::FORKED, fn () => $cursor->next());
            $cursor->close();
            $log->close(); // frees memory, and touches no file
            posix_kill(getmypid(), SIGTERM); // leaves without what the parent has to end
        } catch (Throwable $error) {
            echo $error->getMessage(), "\n";
        }
        exit(1);
    }
    pcntl_waitpid($child, $status);
    check(pcntl_wifsignaled($status) && pcntl_wtermsig($status) === SIGTERM, $status);
    $log->append('c');
    check($log->lastIndex() === 1);
});

echo "$passed passed, $failed failed\n";
exit($failed === 0 ? 0 : 1);
