// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/batchgate/batchgate/pkg/pki"
)

// Files are the paths of the files in a directory.
type Files struct {
	// CA verifies the server and its clients.
	CA string
	// ServingCert and ServingKey are the server's certificate and key.
	ServingCert, ServingKey string
	// Kubeconfig has a client certificate of the group system:masters, which may do everything.
	Kubeconfig string
}

// FilesIn returns the paths of the files that Prepare creates in the directory.
func FilesIn(directory string) Files {
	dir := filepath.Join(directory, "pki")
	return Files{
		CA:          filepath.Join(dir, "ca.crt"),
		ServingCert: filepath.Join(dir, "serving.crt"),
		ServingKey:  filepath.Join(dir, "serving.key"),
		Kubeconfig:  filepath.Join(directory, "admin.kubeconfig"),
	}
}

// Prepare prepares the directory for a server that listens on the address. It creates a CA if
// the directory has none. On every call, it creates a new serving certificate and kubeconfig,
// which are valid for a year. Earlier kubeconfigs stay valid until their certificates expire. The
// names are added to the serving certificate as DNS names, for clients on other machines.
func Prepare(directory string, address net.IP, port int, names ...string) (Files, error) {
	files := FilesIn(directory)
	dir := filepath.Dir(files.CA)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Files{}, fmt.Errorf("creating the directory: %w", err)
	}
	if err := verifyOwner(dir); err != nil {
		return Files{}, err
	}
	ca, err := pki.LoadOrCreate(files.CA, filepath.Join(dir, "ca.key"), "batchgate-ca")
	if err != nil {
		return Files{}, err
	}
	serving := x509.Certificate{
		DNSNames:    append([]string{"localhost"}, names...),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, address},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	serving.Subject.CommonName = "batchgate-apiserver"
	if err := ca.SignFiles(files.ServingCert, files.ServingKey, serving); err != nil {
		return Files{}, err
	}
	admin := pkix.Name{CommonName: "batchgate-admin", Organization: []string{user.SystemPrivilegedGroup}}
	return files, ca.WriteKubeconfig(files.Kubeconfig, ClientURL(address, port), admin)
}

// ClientURL returns the URL for clients on the same machine as a server that listens on address.
func ClientURL(address net.IP, port int) string {
	if address.IsUnspecified() {
		address = net.IPv4(127, 0, 0, 1)
	}
	return "https://" + net.JoinHostPort(address.String(), strconv.Itoa(port))
}
