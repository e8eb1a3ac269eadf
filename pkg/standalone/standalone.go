// Package standalone prepares the directory of a server without a cluster: a CA, the
// certificates it signs, and a kubeconfig.
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

// Files are the paths of what a directory holds.
type Files struct {
	// CA is the bundle that verifies the server and its clients.
	CA string
	// ServingCert and ServingKey are the server's identity.
	ServingCert, ServingKey string
	// Kubeconfig gives all rights on the server.
	Kubeconfig string
}

// FilesIn returns the paths of what Prepare makes in the directory.
func FilesIn(directory string) Files {
	dir := filepath.Join(directory, "pki")
	return Files{
		CA:          filepath.Join(dir, "ca.crt"),
		ServingCert: filepath.Join(dir, "serving.crt"),
		ServingKey:  filepath.Join(dir, "serving.key"),
		Kubeconfig:  filepath.Join(directory, "admin.kubeconfig"),
	}
}

// Prepare makes the directory usable for a server on the address: its CA where there is
// none yet, and, on every call, certificates and a kubeconfig that are valid for a year.
// Kubeconfigs of former calls stay valid until their own certificate expires. The names are
// those that clients on other machines have for this one.
func Prepare(directory string, address net.IP, port int, names ...string) (Files, error) {
	files := FilesIn(directory)
	dir := filepath.Dir(files.CA)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Files{}, fmt.Errorf("making the directory: %w", err)
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

// ClientURL returns where a client on this machine reaches a server that listens on address.
func ClientURL(address net.IP, port int) string {
	if address.IsUnspecified() {
		address = net.IPv4(127, 0, 0, 1)
	}
	return "https://" + net.JoinHostPort(address.String(), strconv.Itoa(port))
}
