// Package standalone prepares the directory of a server without a cluster: a CA, the
// certificates it signs, and a kubeconfig.
package standalone

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
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

// Prepare makes the directory usable for a server on the address: its CA where there is
// none yet, and, on every call, certificates and a kubeconfig that are valid for a year.
// Kubeconfigs of former calls stay valid until their own certificate expires.
func Prepare(directory string, address net.IP, port int) (Files, error) {
	pki := filepath.Join(directory, "pki")
	if err := os.MkdirAll(pki, 0o700); err != nil {
		return Files{}, fmt.Errorf("making the directory: %w", err)
	}
	files := Files{
		CA:          filepath.Join(pki, "ca.crt"),
		ServingCert: filepath.Join(pki, "serving.crt"),
		ServingKey:  filepath.Join(pki, "serving.key"),
		Kubeconfig:  filepath.Join(directory, "admin.kubeconfig"),
	}
	ca, err := loadOrCreateCA(files.CA, filepath.Join(pki, "ca.key"))
	if err != nil {
		return Files{}, err
	}
	serving := x509.Certificate{
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, address},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	serving.Subject.CommonName = "batchgate-apiserver"
	cert, key, err := ca.sign(serving)
	if err != nil {
		return Files{}, err
	}
	if err := writeFile(files.ServingKey, key); err != nil {
		return Files{}, err
	}
	if err := writeFile(files.ServingCert, cert); err != nil {
		return Files{}, err
	}
	return files, writeKubeconfig(files.Kubeconfig, ca, clientAddress(address, port))
}

// clientAddress returns where a client on this machine reaches a server that listens on
// address.
func clientAddress(address net.IP, port int) string {
	if address.IsUnspecified() {
		address = net.IPv4(127, 0, 0, 1)
	}
	return "https://" + net.JoinHostPort(address.String(), strconv.Itoa(port))
}

func writeKubeconfig(path string, ca *authority, server string) error {
	admin := x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	admin.Subject.CommonName = "batchgate-admin"
	admin.Subject.Organization = []string{user.SystemPrivilegedGroup}
	cert, key, err := ca.sign(admin)
	if err != nil {
		return err
	}
	const name = "batchgate"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca.certPEM}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: "default"}
	config.CurrentContext = name
	content, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	return writeFile(path, content)
}

// writeFile replaces a file for its owner only, at once: a reader sees the old content or
// the new one.
func writeFile(path string, content []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
