// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	admissionv1 "k8s.io/api/admission/v1"
	batchv1 "k8s.io/api/batch/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/test/framework"
)

// webhook is this program as a webhook, in a process that has its own CPU time.
type webhook struct {
	process *exec.Cmd
	url     string
	ca      []byte
}

func startWebhook(directory string) (*webhook, error) {
	ca, _, err := pki.New("webhook")
	if err != nil {
		return nil, err
	}
	certFile, keyFile := filepath.Join(directory, "webhook.crt"), filepath.Join(directory, "webhook.key")
	template := x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if err := ca.SignFiles(certFile, keyFile, template); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	process := exec.Command(self, "webhook", certFile, keyFile)
	process.Stderr = os.Stderr
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := framework.OnPersistentThread(process.Start); err != nil {
		return nil, err
	}
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("starting the webhook: %w", err)
	}
	return &webhook{process: process, url: "https://" + strings.TrimSpace(address) + "/", ca: ca.CertPEM}, nil
}

func (w *webhook) stop() error {
	err := w.process.Process.Kill()
	_ = w.process.Wait()
	return err
}

// serveWebhook is the main function of the webhook. It prints its address, and denies what Batchgate
// denies by default.
func serveWebhook(files []string) {
	cert, err := tls.LoadX509KeyPair(files[0], files[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr())
	server := &http.Server{Handler: http.HandlerFunc(review), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	fmt.Fprintln(os.Stderr, server.ServeTLS(listener, "", ""))
	os.Exit(1)
}

func review(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	var new, old batchv1.Job
	err := json.NewDecoder(r.Body).Decode(&review)
	if err == nil {
		err = json.Unmarshal(review.Request.Object.Raw, &new)
	}
	if err == nil {
		err = json.Unmarshal(review.Request.OldObject.Raw, &old)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	response := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: unchanged(&new, &old)}
	if !response.Allowed {
		response.Result = &metav1.Status{Code: http.StatusUnprocessableEntity, Message: "only labels, parallelism, completions and selector may be updated"}
	}
	review.Request, review.Response = nil, response
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}

// unchanged reports whether new and old differ only in fields that Batchgate lets change by default.
func unchanged(new, old *batchv1.Job) bool {
	kept := old.Spec
	kept.Parallelism, kept.Completions, kept.Selector = new.Spec.Parallelism, new.Spec.Completions, new.Spec.Selector
	return apiequality.Semantic.DeepEqual(kept, new.Spec) &&
		old.GenerateName == new.GenerateName &&
		apiequality.Semantic.DeepEqual(old.Annotations, new.Annotations) &&
		apiequality.Semantic.DeepEqual(old.Finalizers, new.Finalizers) &&
		apiequality.Semantic.DeepEqual(old.OwnerReferences, new.OwnerReferences)
}
