// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Command test-progress reads the events of one test suite, in the format of "go test -json",
// from standard input and prints progress. It exits with 1 unless at least one test ran and all
// of them passed.
//
// In the output directory it writes SUITE.log (all output), SUITE.failures (the output of failed
// tests), SUITE.errors (their messages) and SUITE.summary (one line).
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

func main() {
	suite := flag.String("suite", "", "Name of the suite.")
	directory := flag.String("directory", ".", "Directory for the log, the failures and the summary.")
	interval := flag.Duration("interval", 20*time.Second, "Time between two progress lines.")
	flag.Parse()
	ok, err := run(*suite, *directory, *interval)
	if err != nil {
		fmt.Fprintln(os.Stderr, "test-progress:", err)
	}
	if !ok {
		os.Exit(1)
	}
}

// run returns true if the suite passed.
func run(suite, directory string, interval time.Duration) (bool, error) {
	log, err := os.Create(filepath.Join(directory, suite+".log"))
	if err != nil {
		return false, err
	}
	defer log.Close()
	results := newResults(suite, log)
	if err := follow(results, os.Stdin, interval); err != nil {
		return false, err
	}
	results.finish()
	for name, content := range map[string][]byte{
		"failures": results.failures.Bytes(), "errors": results.errors.Bytes(), "summary": []byte(results.summary() + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(directory, suite+"."+name), content, 0o644); err != nil {
			return false, err
		}
	}
	fmt.Println(results.summary())
	return results.ok(), nil
}

// follow feeds the lines of in to results until in ends, and prints progress at each interval.
func follow(results *results, in io.Reader, interval time.Duration) error {
	lines, failed := make(chan []byte), make(chan error, 1)
	go func() {
		defer close(lines)
		reader := bufio.NewReader(in)
		for {
			line, err := reader.ReadBytes('\n')
			if len(line) > 0 {
				lines <- line
			}
			if err != nil {
				failed <- err
				return
			}
		}
	}()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				if err := <-failed; !errors.Is(err, io.EOF) {
					return fmt.Errorf("reading events: %w", err)
				}
				return nil
			}
			if name, ok := results.add(line); ok {
				fmt.Printf("%-12s FAILED  %s\n", results.suite, name)
			}
		case <-tick.C:
			fmt.Println(results.progress())
		}
	}
}
