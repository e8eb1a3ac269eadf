// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apimachinery/pkg/util/wait"
	apimachineryversion "k8s.io/apimachinery/pkg/version"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

const (
	// pollInterval is the time between requests to /version, which kube-apiserver answers from
	// memory.
	pollInterval = 10 * time.Second
	pollTimeout  = 5 * time.Second
)

// Monitor polls the version of kube-apiserver.
type Monitor struct {
	client    rest.Interface
	emulation *version.Version
	// timeout is the time without an answer after which the replica is not ready. Zero means
	// forever.
	timeout time.Duration
	// now is time.Now, except in tests.
	now         func() time.Time
	lastContact atomic.Pointer[time.Time]
	failing     bool
}

// New returns a Monitor. emulation is the version that this server emulates.
func New(client rest.Interface, emulation *version.Version, timeout time.Duration) *Monitor {
	return &Monitor{client: client, emulation: emulation, timeout: timeout, now: time.Now}
}

// ApplyTo makes the server run the Monitor, and makes readiness follow it if it has a timeout.
func (m *Monitor) ApplyTo(generic *genericapiserver.Config) error {
	m.recordContact()
	if m.timeout > 0 {
		generic.AddReadyzChecks(healthz.NamedCheck("kube-apiserver-connection", m.Check))
	}
	return generic.AddPostStartHook("batchgate-kube-apiserver-connection", func(hook genericapiserver.PostStartHookContext) error {
		go wait.UntilWithContext(hook, m.poll, pollInterval)
		return nil
	})
}

// Check is a readiness check. It returns an error if kube-apiserver has not answered for longer
// than the timeout.
func (m *Monitor) Check(*http.Request) error {
	if age := m.now().Sub(*m.lastContact.Load()); age > m.timeout {
		return fmt.Errorf("kube-apiserver has not answered for %s, so admission policies, webhooks, quotas and namespaces may be outdated; check the network and the credentials of this replica", age.Round(time.Second))
	}
	return nil
}

func (m *Monitor) recordContact() {
	now := m.now()
	m.lastContact.Store(&now)
	lastContact.Set(float64(now.Unix()))
}

// poll must not be called concurrently.
func (m *Monitor) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	var info apimachineryversion.Info
	body, err := m.client.Get().AbsPath("/version").Do(ctx).Raw()
	if err == nil {
		err = json.Unmarshal(body, &info)
	}
	if err == nil {
		err = m.recordVersion(info)
	}
	logger := klog.FromContext(ctx)
	switch {
	case err != nil && !m.failing:
		logger.Error(err, "Failed to get the version of kube-apiserver, will retry", "after", pollInterval)
	case err == nil && m.failing:
		logger.Info("Reached kube-apiserver again")
	}
	m.failing = err != nil
	// kube-apiserver answers, but clusters may restrict who can read its version.
	if err == nil || apierrors.IsForbidden(err) {
		m.recordContact()
	}
}

// recordVersion compares the minor versions that both servers emulate.
func (m *Monitor) recordVersion(info apimachineryversion.Info) error {
	text := info.EmulationMajor + "." + strings.TrimRight(info.EmulationMinor, "+") // some distributions add a plus sign
	if info.EmulationMajor == "" {
		text = info.GitVersion // before Kubernetes 1.34
	}
	emulated, err := version.ParseGeneric(text)
	if err != nil {
		return fmt.Errorf("parsing the version of kube-apiserver: %w", err)
	}
	versionInfo.Reset()
	versionInfo.WithLabelValues(info.GitVersion, fmt.Sprintf("%d.%d", emulated.Major(), emulated.Minor()),
		fmt.Sprintf("%d.%d", m.emulation.Major(), m.emulation.Minor())).Set(1)
	versionSkew.Set(float64(emulated.Minor()) - float64(m.emulation.Minor()))
	return nil
}
