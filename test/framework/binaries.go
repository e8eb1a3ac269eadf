package framework

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Binaries says where the programs are.
type Binaries struct {
	// Tools is the directory of the control plane's programs.
	Tools string
	// Batchgate is the server's program.
	Batchgate string
}

// Build builds what is not built yet, and the server into directory. Progress goes to
// standard error: the first build of the tools takes minutes.
func Build(ctx context.Context, directory string) (Binaries, error) {
	root, err := Root()
	if err != nil {
		return Binaries{}, err
	}
	tools, err := script(ctx, filepath.Join(root, "hack", "build-tools.sh"))
	if err != nil {
		return Binaries{}, err
	}
	server := filepath.Join(directory, "batchgate-apiserver")
	if _, err := script(ctx, filepath.Join(root, "hack", "build.sh"), server); err != nil {
		return Binaries{}, err
	}
	return Binaries{Tools: tools, Batchgate: server}, nil
}

func script(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running %s: %w", name, err)
	}
	return strings.TrimSpace(stdout.String()), nil
}

// Root returns the top of the work tree that holds the current directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "hack", "build-tools.sh"))
		if err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || parent == dir {
			return "", errors.New("not inside the project's work tree: run this from there")
		}
		dir = parent
	}
}

// readFile reads a file of the work tree.
func readFile(path ...string) ([]byte, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(append([]string{root}, path...)...))
}
