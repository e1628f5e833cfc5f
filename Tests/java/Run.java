// Run.java - the tests of bindings/java: the scenarios, and what is Java's own. Run SCENARIOS
//
// SPDX-License-Identifier: MIT
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

final class Run {
    private static int passed;
    private static int failed;

    private interface Test {
        void run(Path place) throws Exception;
    }

    private static void test(String name, Test test) throws Exception {
        Path place = Files.createTempDirectory("walrus-java");
        try {
            test.run(place);
            passed++;
        } catch (Scenario.Skipped skipped) {
            System.out.println("skipped " + name + ": " + skipped.getMessage());
        } catch (InvocationTargetException exception) {
            failed++;
            System.out.println("FAILED  " + name + ": " + exception.getCause());
            exception.getCause().printStackTrace(System.out);
        } catch (Exception exception) {
            failed++;
            System.out.println("FAILED  " + name + ": " + exception);
        } finally {
            try (var files = Files.walk(place)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(file);
                }
            }
        }
    }

    private static void scenario(Path file, Path place) throws Exception {
        Scenario scenario = new Scenario(place);
        try {
            scenario.run(file);
        } finally {
            scenario.closeAll();
        }
    }

    public static void main(String[] arguments) throws Exception {
        List<Path> files;
        try (var found = Files.list(Path.of(arguments[0]))) {
            files = found.filter(file -> file.toString().endsWith(".scenario")).sorted().toList();
        }
        for (Path file : files) {
            test(file.getFileName().toString(), place -> scenario(file, place));
        }
        if (files.isEmpty()) {
            System.out.println("FAILED  there are no scenarios in " + arguments[0]);
            failed++;
        }
        Method[] cases = Cases.class.getDeclaredMethods();
        Arrays.sort(cases, Comparator.comparing(Method::getName));
        for (Method method : cases) {
            if (!method.isSynthetic() && !java.lang.reflect.Modifier.isPrivate(method.getModifiers())) {
                test(method.getName(), place -> method.invoke(null, place.resolve("log")));
            }
        }
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }
}
