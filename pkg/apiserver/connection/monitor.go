// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
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

	"github.com/batchgate/batchgate/pkg/kubeversion"
)

const (
	// pollInterval is the time between requests to /version, which kube-apiserver answers from
	// memory.
	pollInterval = 10 * time.Second
	pollTimeout  = 5 * time.Second

	// maxSkew is the number of minor versions by which kube-apiserver may be newer while a cluster is
	// upgraded. Kubernetes allows the same between two kube-apiservers.
	maxSkew = 1
)

// Monitor polls the version of kube-apiserver.
type Monitor struct {
	client    rest.Interface
	emulation *version.Version
	// timeout is the time without an answer after which the replica is not ready. If it is zero, the
	// replica stays ready.
	timeout time.Duration
	// now is time.Now, except in tests.
	now         func() time.Time
	lastContact atomic.Pointer[time.Time]
	// kubeAPIServer is the version that kube-apiserver emulates, or nil before the first poll.
	kubeAPIServer atomic.Pointer[version.Version]
	failing       bool
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
		// The server becomes ready only after the hook returns. Poll first, so that it knows the skew by
		// then.
		m.poll(hook)
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

// CheckSkew returns an error if kube-apiserver emulates a version that is more than one minor
// version newer than the one that this server emulates. Then this server may not know fields of
// stored Jobs, and each write would drop them.
func (m *Monitor) CheckSkew() error {
	v := m.kubeAPIServer.Load()
	if v == nil || kubeversion.Skew(v, m.emulation) <= maxSkew {
		return nil
	}
	return fmt.Errorf("this server emulates Kubernetes %d.%d and kube-apiserver %s, so a write could drop fields of newer versions: raise --emulated-version or upgrade Batchgate, or run kubectl batchgate rollback",
		m.emulation.Major(), m.emulation.Minor(), v)
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
	// A 403 is an answer too: clusters may restrict who can read the version.
	if err == nil || apierrors.IsForbidden(err) {
		m.recordContact()
	}
}

// recordVersion stores the version that kube-apiserver emulates, and sets the metrics about both
// servers.
func (m *Monitor) recordVersion(info apimachineryversion.Info) error {
	emulated, err := kubeversion.Emulated(info)
	if err != nil {
		return err
	}
	m.kubeAPIServer.Store(emulated)
	versionInfo.Reset()
	versionInfo.WithLabelValues(info.GitVersion, emulated.String(),
		fmt.Sprintf("%d.%d", m.emulation.Major(), m.emulation.Minor())).Set(1)
	versionSkew.Set(float64(kubeversion.Skew(emulated, m.emulation)))
	return nil
}
