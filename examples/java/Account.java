// Account.java - an event-sourced account: what happened is the truth, the balance follows from it
//
//     java Account DIR              reads commands from the standard input: deposit N, withdraw N, balance
//     java Account DIR history      prints everything that ever happened
//
// An event is acknowledged once it is on stable storage. The balance is computed from the events at each start, and not from
// all of them: every 100th event takes a snapshot along, which is in the log exactly if that event is.
//
// SPDX-License-Identifier: MIT
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import libwalrus.Code;
import libwalrus.Log;
import libwalrus.WalrusException;

public final class Account {
    private static final String SNAPSHOT = "snapshot"; // metadata: "INDEX BALANCE", the balance before the event at INDEX
    private static final int EVENTS_PER_SNAPSHOT = 100;

    private final Log log;
    private long balance;

    /** What a command is refused with; the account is as it was. */
    private static final class Refused extends Exception {
        private static final long serialVersionUID = 1;

        Refused(String message) {
            super(message);
        }
    }

    private Account(Log log) {
        this.log = log;
        long next = log.firstIndex();
        try {
            String[] snapshot = new String(log.meta(SNAPSHOT), StandardCharsets.UTF_8).split(" ");
            next = Long.parseLong(snapshot[0]);
            balance = Long.parseLong(snapshot[1]);
        } catch (WalrusException exception) {
            if (exception.code() != Code.NOT_FOUND) {
                throw exception;
            }
        }
        if (log.lastIndex() >= next && next != 0) {
            log.scan(next, log.lastIndex(), event -> {
                balance += amount(event.text());
                return true;
            });
        }
    }

    /** What an event changes. */
    private static long amount(String event) {
        long amount = Long.parseLong(event.substring(event.indexOf(' ') + 1));
        return event.startsWith("withdraw ") ? -amount : amount;
    }

    private String handle(String command) throws Refused {
        if (command.equals("balance")) {
            return "balance " + balance;
        }
        if (!command.matches("(deposit|withdraw) [1-9][0-9]{0,11}")) {
            throw new Refused("say deposit N, withdraw N or balance, not: " + command);
        }
        long after = balance + amount(command);
        if (after < 0) {
            throw new Refused("there are only " + balance + " in the account");
        }
        long next = log.nextIndex();
        if (next % EVENTS_PER_SNAPSHOT == 0) {
            log.stageMeta(SNAPSHOT, (next + " " + balance).getBytes(StandardCharsets.UTF_8)); // rides on the append below
        }
        long index = log.append(command);
        balance = after; // only now: had the append failed, nothing would have happened
        return index + ": " + command + ", balance " + balance;
    }

    private void serve() throws IOException {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String command = input.readLine(); command != null; command = input.readLine()) {
            try {
                System.out.println(handle(command));
            } catch (Refused refused) {
                System.out.println("refused: " + refused.getMessage());
            }
        }
    }

    public static void main(String[] arguments) throws IOException {
        boolean history = arguments.length == 2 && arguments[1].equals("history");
        if (arguments.length != 1 && !history) {
            System.err.println("usage: Account DIR [history]");
            System.exit(2);
        }
        // A history is read beside whoever has the account open.
        try (Log log = Log.open(Path.of(arguments[0]), history ? Map.of("read_only", "true") : Map.of())) {
            if (!history) {
                new Account(log).serve();
            } else if (log.lastIndex() != 0) {
                log.scan(log.firstIndex(), log.lastIndex(), event -> {
                    System.out.println(event.index() + ": " + event.text());
                    return true;
                });
            }
        } catch (WalrusException exception) {
            System.err.println("account: " + exception.getMessage());
            System.exit(1);
        }
    }
}
