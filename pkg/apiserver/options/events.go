// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	corev1 "k8s.io/api/core/v1"
	genericapiserver "k8s.io/apiserver/pkg/server"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

const (
	// eventQPS and eventBurst limit the requests that write Events, so that denied updates of many
	// Jobs cannot load kube-apiserver.
	eventQPS   = 5
	eventBurst = 20
)

// newEventRecorder returns a recorder that writes Events to kube-apiserver in the background while
// the server runs. It combines similar Events, limits the Events of each Job, and drops what it
// cannot write fast enough.
func newEventRecorder(generic *genericapiserver.RecommendedConfig) (record.EventRecorder, error) {
	config := rest.CopyConfig(generic.ClientConfig)
	config.QPS, config.Burst, config.RateLimiter = eventQPS, eventBurst, nil
	client, err := typedcorev1.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	broadcaster := record.NewBroadcaster()
	err = generic.AddPostStartHook("batchgate-events", func(hook genericapiserver.PostStartHookContext) error {
		broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.Events("")})
		go func() {
			<-hook.Done()
			broadcaster.Shutdown()
		}()
		return nil
	})
	return broadcaster.NewRecorder(legacyscheme.Scheme, corev1.EventSource{Component: "batchgate-apiserver"}), err
}
