// main.swift - runs the crash simulation over many seeds, on two threads
//
//     walrus-simulate [--states N] [--seeds N] [--seconds N] [--first SEED]
//     walrus-simulate --seed SEED [--operation N] [--fault N] [--state N] [--trace]
//
// Seeds are taken in order from --first on, until the first limit is reached; --states 1000000 if none is given. With --seconds they begin at a
// random one, which is printed. --seed runs one alone: its crash at one operation, or its run with one fault, as a failure names them.
// Compiled together with the engine as one module (scripts/test-simulation), so that the engine is specialised for the simulated disk.

import CWalrusPlatform

exit(try Work.runOnTwoThreads(Arguments()))
