<?php
// Scenario.php - runs one file of Tests/scenarios through the PHP binding; README.md there defines the lines
//
// SPDX-License-Identifier: MIT
declare(strict_types=1);

use Walrus\{Durability, Entry, Error, Library, Log};

final class Skipped extends Exception
{
}

// A number without a sign, which an int of PHP cannot tell from one with it.
final class Unsigned
{
    public function __construct(public readonly int $value)
    {
    }
}

final class Scenario
{
    private array $logs = [], $cursors = [], $txns = [], $pending = [];
    private string $handle = '', $message = '';

    public function __construct(private readonly string $path)
    {
    }

    // ---- Tokens

    private static function libc(): FFI
    {
        static $libc = null;
        return $libc ??= FFI::cdef('unsigned long long strtoull(const char *text, void *end, int base);
            struct pollfd { int fd; short events, revents; };
            int poll(struct pollfd *fds, unsigned long count, int timeout); long read(int fd, void *buffer, size_t size);', 'libc.so.6');
    }

    private static function number(string $token): int
    {
        return $token === 'max' ? -1 : self::libc()->strtoull($token, null, 10);
    }

    private static function bytes(string $token): string
    {
        [$once, $times] = [...explode('*', $token, 2), '1'];
        return str_repeat($token === '-' ? '' : rawurldecode($once), (int) $times);
    }

    private static function record(string $token): Entry
    {
        [$data, $term, $index, $time] = [...explode(',', $token), '0', '0', '0'];
        return new Entry(self::bytes($data), self::number($term), self::number($index), (int) $time);
    }

    private static function records(array $tokens): array
    {
        return array_map(self::record(...), $tokens);
    }

    private static function flags(string $token): Durability
    {
        return ['default' => Durability::Default, 'durable' => Durability::Durable, 'os' => Durability::ToOs,
            'buffered' => Durability::Buffered][$token];
    }

    private static function seconds(string $ms): ?float
    {
        return $ms === '-1' ? null : (int) $ms / 1000;
    }

    // ---- Lines

    public function run(string $file): void
    {
        foreach (file($file, FILE_IGNORE_NEW_LINES) as $number => $line) {
            if ($line === '' || $line[0] === '#') {
                continue;
            }
            try {
                $this->runLine($line);
            } catch (Skipped $skipped) {
                throw $skipped;
            } catch (Throwable $error) {
                throw new Exception(basename($file) . ':' . ($number + 1) . ': ' . $error->getMessage() . ' (' . substr($line, 0, 80) . ')');
            }
        }
    }

    private function runLine(string $line): void
    {
        [$before, $after] = [...explode(' -> ', "$line ", 2), null];
        $tokens = explode(' ', trim($before));
        $expected = $after === null ? null : preg_split('/ /', trim($after), -1, PREG_SPLIT_NO_EMPTY);
        $this->handle = $tokens[0][0] === '@' ? substr(array_shift($tokens), 1) : 'main';
        $operation = array_shift($tokens);
        if ($operation === 'needs') {
            $this->needs($tokens);
            return;
        }
        try {
            $came = $this->operate($operation, $tokens) ?? [];
        } catch (Error $error) {
            $this->message = $error->getMessage();
            $came = ['error', substr(strtok(Library::strerror($error->getCode()), ':'), strlen('WALRUS_E_'))];
            if ($error->getCode() === Error::TOO_SMALL) {
                $came[] = new Unsigned($error->size);
            }
        }
        if ($expected === null) {
            if (($came[0] ?? null) === 'error') {
                throw new Exception("success was expected, and error $came[1] came: $this->message");
            }
            return;
        }
        if (count($expected) === 2 && $expected[0] === 'error') {
            $came = array_slice($came, 0, 2); // the size that is needed is not looked at
        }
        if (count($came) !== count($expected) || in_array(false, array_map(self::agrees(...), $expected, $came), true)) {
            throw new Exception('this came: ' . substr(var_export($came, true), 0, 300));
        }
    }

    private static function agrees(string $expected, mixed $came): bool
    {
        return $expected === '*' || match (true) {
            $came instanceof Unsigned => self::number($expected) === $came->value,
            is_int($came) => (int) $expected === $came,
            is_array($came) => array_map(self::bytes(...), explode(',', $expected)) === $came,
            default => $expected === $came || self::bytes($expected) === $came,
        };
    }

    private static function unsigned(int ...$numbers): array
    {
        return array_map(fn (int $number) => new Unsigned($number), $numbers);
    }

    private static function check(bool $condition, string $message): void
    {
        $condition || throw new Exception($message);
    }

    private function needs(array $functions): void
    {
        foreach ($functions as $function) {
            try {
                FFI::cdef("void $function(void);", getenv('WALRUS_LIBRARY') ?: 'libwalrus.so.1');
            } catch (FFI\Exception) {
                throw new Skipped("the library has no $function");
            }
        }
    }

    private static function checked(Entry $entry, ?int $index = null): string
    {
        self::check($entry->checksum === crc32($entry->data), "the checksum of entry $entry->index is wrong");
        self::check($index === null || $entry->index === $index, "entry $index says that its index is $entry->index");
        return $entry->data;
    }

    // The binding has no buffer of the caller's.
    private static function fits(string $data, string $capacity): array
    {
        return strlen($data) > (int) $capacity ? throw new Error(Error::TOO_SMALL, '', size: strlen($data)) : [$data];
    }

    private static function moved(?Entry $entry): array
    {
        // The binding answers null where C says CAUGHT_UP.
        return $entry === null ? ['error', 'CAUGHT_UP'] : [new Unsigned($entry->index), self::checked($entry)];
    }

    private static function keep(array &$table, string $name, object $value): void
    {
        self::check(!isset($table[$name]), "there is one called $name already");
        $table[$name] = $value;
    }

    private function operate(string $operation, array $a): ?array
    {
        $log = $this->logs[$this->handle] ?? null;
        return match ($operation) {
            'version' => $this->version(),
            'strerror' => [strtok(Library::strerror((int) $a[0]), ':')],
            'crc32' => self::unsigned(Library::crc32(self::bytes($a[0]))),
            'message' => self::check(str_contains($this->message, self::bytes($a[0])), "the message is: $this->message"),
            'option' => [Library::checkOption($a[0], self::bytes($a[1]))],
            // Options are text here, a mode in octal; there is no other way to set one.
            'option_u64' => [Library::checkOption($a[0], $a[0] === 'file_mode' ? sprintf('0%o', $a[1]) : $a[1])],
            'option_default' => [Library::options()[$a[0]]['default']],
            'open' => $this->open($a),
            'close' => $this->close(),
            'destroy' => Log::destroy($this->path),
            'shutdown', 'sync', 'rotate', 'interrupt' => $log->$operation(),
            'recovery' => array_slice(array_values($log->recoveryReport()), 0, 2),
            'bounds' => self::unsigned($log->firstIndex(), $log->lastIndex(), $log->nextIndex()),
            'durable' => self::unsigned($log->durableIndex()),
            'append' => self::unsigned($log->append(self::bytes($a[0]))),
            'record' => self::unsigned($log->appendEntry(self::record($a[1]), self::flags($a[0]))),
            'batch' => self::unsigned($log->appendBatch(self::records(array_slice($a, 1)), self::flags($a[0]))),
            'packed' => $this->packed($log, $a),
            'async' => self::unsigned($this->pending[] = $log->appendAsync(self::record($a[0]))),
            'completions' => $this->completions($log),
            'wait_durable' => $log->waitDurable(self::number($a[0]), self::seconds($a[1])),
            'notify' => $this->notify($log->notifyFd(), (int) $a[0]),
            'get' => $this->get($log, self::number($a[0])),
            'read' => self::fits($log->get(self::number($a[0]))->data, $a[1]),
            'scan' => $this->scan($log, self::number($a[0]), self::number($a[1]), (int) $a[2]),
            'range' => array_map(
                fn (Entry $entry) => self::checked($entry),
                $log->range(self::number($a[0]), self::number($a[1]), self::number($a[2]), (int) $a[3]),
            ),
            'read_packed' => $log->readPacked(self::number($a[0]), $a[1] === 'max' ? PHP_INT_MAX : (int) $a[1], (int) $a[2]),
            'term' => self::unsigned($log->term(self::number($a[0]))),
            'last_index_of_term' => self::unsigned($log->lastIndexOfTerm(self::number($a[0]))),
            'seek_time' => self::unsigned($log->seekTime((int) $a[0])),
            'truncate' => $log->truncate(self::number($a[0])),
            'truncate_front' => $log->truncateFront(self::number($a[0])),
            'reset' => $log->reset(self::number($a[0])),
            // It is durable whatever the flags say, so the binding has none.
            'replace_suffix' => $log->replaceSuffix(self::number($a[0]), self::records(array_slice($a, 2))),
            'cursor_open' => self::keep($this->cursors, $a[0], $log->cursor(self::number($a[1]), $a[2] === 'durable')),
            'cursor_next' => self::moved($this->cursors[$a[0]]->next()),
            'cursor_prev' => self::moved($this->cursors[$a[0]]->prev()),
            'cursor_seek' => $this->cursors[$a[0]]->seek(self::number($a[1])),
            'cursor_position' => self::unsigned($this->cursors[$a[0]]->position()),
            'cursor_wait' => $this->cursors[$a[0]]->wait(self::seconds($a[1])),
            'cursor_close' => $this->end($this->cursors, $a[0], 'close'),
            'txn_begin' => self::keep($this->txns, $a[0], $log->begin(['0' => null, '-1' => INF][$a[1]] ?? self::seconds($a[1]))),
            'txn_append' => $this->txns[$a[0]]->append(self::record($a[1])),
            'txn_commit' => $this->commit($a[0], self::flags($a[1])),
            'txn_rollback' => $this->end($this->txns, $a[0], 'rollback'),
            'txn_state' => [$this->txns[$a[0]]->state()],
            'txn_count' => self::unsigned($log->txnCount()),
            'txn_expire' => self::unsigned($log->txnExpire()),
            'meta_set' => $log->metaSet(self::bytes($a[0]), self::bytes($a[1])),
            'meta_stage' => $log->metaStage(self::bytes($a[0]), self::bytes($a[1])),
            'meta_delete' => $log->metaDelete(self::bytes($a[0])),
            // The binding answers null where C says NOT_FOUND.
            'meta_get' => ($value = $log->meta(self::bytes($a[0]))) === null ? ['error', 'NOT_FOUND'] : self::fits($value, $a[1]),
            'meta_list' => array_map(null, array_map(strval(...), array_keys($log->allMeta())), array_values($log->allMeta())),
            'segments' => array_map(fn (array $one) => "$one[first_index]:$one[last_index]", $log->segments()),
            'stats' => self::unsigned($log->stats()[$a[0]]),
            'stats_text' => preg_match("/^$a[0] (\\d+)$/m", $log->statsText(), $found) ? self::unsigned((int) $found[1]) : null,
            'file' => $this->file($a[0], self::bytes($a[1])),
            'crash' => $this->crash(),
            'damage' => $this->damage(self::bytes($a[0])),
            'sleep' => usleep(1000 * (int) $a[0]),
        };
    }

    private function version(): array
    {
        $number = Library::versionNumber();
        $text = sprintf('%d.%d.%d', $number / 10000, $number / 100 % 100, $number % 100);
        self::check($text === Library::version(), Library::version());
        return self::unsigned(Library::abiVersion());
    }

    private function open(array $settings): void
    {
        $options = [];
        foreach ($settings as $setting) {
            [$key, $value] = explode('=', $setting, 2);
            $options[$key] = self::bytes($value);
        }
        self::keep($this->logs, $this->handle, Log::open($this->path, $options));
    }

    private function close(): void
    {
        $this->end($this->logs, $this->handle, 'close');
    }

    private function end(array &$table, string $name, string $method): void
    {
        $one = $table[$name];
        unset($table[$name]);
        $one->$method();
    }

    private function commit(string $name, Durability $durability): array
    {
        $committed = $this->txns[$name]->commit($durability);
        unset($this->txns[$name]);
        return self::unsigned(...$committed);
    }

    private function packed(Log $log, array $a): array
    {
        $data = array_map(self::bytes(...), array_slice($a, 2));
        return self::unsigned($log->appendPacked(implode('', $data), array_map(strlen(...), $data), self::number($a[1]), self::flags($a[0])));
    }

    // Without callbacks: each is waited for in turn.
    private function completions(Log $log): array
    {
        [$done, $this->pending] = [$this->pending, []];
        foreach ($done as $index) {
            $log->waitDurable($index, 30);
        }
        return self::unsigned(...$done);
    }

    // PHP cannot poll a number, so libc does.
    private function notify(int $fd, int $timeout): array
    {
        $poll = self::libc()->new('struct pollfd');
        [$poll->fd, $poll->events] = [$fd, 1];
        if (self::libc()->poll(FFI::addr($poll), 1, $timeout) !== 1) {
            return ['quiet'];
        }
        self::check(self::libc()->read($fd, FFI::new('char[8]'), 8) === 8, 'there are no 8 bytes');
        return ['readable'];
    }

    private function get(Log $log, int $index): array
    {
        $entry = $log->get($index);
        return [self::checked($entry, $index), new Unsigned($entry->term), $entry->timestampNs];
    }

    private function scan(Log $log, int $first, int $last, int $most): array
    {
        $found = [];
        foreach ($log->scan($first, $last) as $entry) {
            $found[] = self::checked($entry, $first + count($found));
            if (count($found) === $most) {
                break;
            }
        }
        return $found;
    }

    private function file(string $name, string $content): void
    {
        is_dir($this->path) || mkdir($this->path);
        file_put_contents("$this->path/$name", $content);
    }

    private function crash(): void
    {
        $contents = [];
        foreach (glob("$this->path/*") as $file) {
            $contents[$file] = file_get_contents($file);
        }
        $this->close();
        array_map(unlink(...), glob("$this->path/*"));
        foreach ($contents as $file => $content) {
            file_put_contents($file, $content);
        }
    }

    private function damage(string $content): void
    {
        $found = 0;
        foreach (glob("$this->path/*.wal") as $file) {
            $all = file_get_contents($file);
            $found += $count = substr_count($all, $content);
            if ($count > 0) {
                $at = strpos($all, $content);
                $all[$at] = chr(ord($all[$at]) ^ 1);
                file_put_contents($file, $all);
            }
        }
        self::check($found === 1, "these bytes are in the segments $found times, not once");
    }
}
