package embeddedetcd

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"k8s.io/klog/v2"
)

// askTimeout bounds how long the others are asked. At the first start of all, nobody is there.
const askTimeout = 10 * time.Second

// Members is how the members of a cluster of etcd are reached.
type Members struct {
	// Endpoints are their URLs for clients. If there are none, nobody is asked.
	Endpoints []string
	// TrustedCAFile verifies them; CertFile and KeyFile are those of a client.
	TrustedCAFile, CertFile, KeyFile string
}

// expected reports whether the members that run expect this one to start without data, since
// it was added to them. Data made here would be that of another member. It is an error if it
// had data once: they remember what it has agreed to, and it does not.
func (s *Seed) expected(ctx context.Context) (bool, error) {
	if len(s.Members.Endpoints) == 0 {
		return false, nil
	}
	config := clientv3.Config{Endpoints: s.Members.Endpoints, Logger: zap.NewNop()}
	info := transport.TLSInfo{TrustedCAFile: s.Members.TrustedCAFile, CertFile: s.Members.CertFile, KeyFile: s.Members.KeyFile}
	if !info.Empty() || info.TrustedCAFile != "" {
		var err error
		if config.TLS, err = info.ClientConfig(); err != nil {
			return false, err
		}
	}
	client, err := clientv3.New(config)
	if err != nil {
		return false, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	// Serializable: what one of them knows, for at the first start there is no majority.
	response, err := client.MemberList(ctx, clientv3.WithSerializable())
	if err != nil {
		klog.FromContext(ctx).Info("No other member answers: this is taken for the first start of all", "endpoints", s.Members.Endpoints, "reason", err.Error())
		return false, nil
	}
	for _, member := range response.Members {
		if !slices.ContainsFunc(member.PeerURLs, func(url string) bool { return slices.Contains(s.PeerURLs, url) }) {
			continue
		}
		switch {
		case member.Name == "":
			return true, nil // "etcdctl member add" knows no name
		case len(member.ClientURLs) > 0:
			return false, fmt.Errorf("the member %s has run before, and has lost its data: run, where another one is, "+
				"etcdctl member remove %x, then etcdctl member add %s --peer-urls=%s", s.Name, member.ID, s.Name, s.PeerURLs[0])
		default:
			return false, nil
		}
	}
	return false, fmt.Errorf("the others have no member %s: run, where one of them is, etcdctl member add %s --peer-urls=%s", s.Name, s.Name, s.PeerURLs[0])
}
