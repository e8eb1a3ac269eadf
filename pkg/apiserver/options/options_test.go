package options

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
)

// parse returns the options for a command line.
func parse(t *testing.T, args ...string) *Options {
	t.Helper()
	o := New()
	all := pflag.NewFlagSet("test", pflag.ContinueOnError)
	for _, fs := range o.Flags().FlagSets {
		all.AddFlagSet(fs)
	}
	if err := all.Parse(args); err != nil {
		t.Fatal(err)
	}
	return o
}

// required are the flags without which there is no server.
var required = []string{"--etcd-servers=http://192.0.2.1:2379", "--tls-cert-file=a.crt", "--tls-private-key-file=a.key"}

func TestDefaultsAreThoseOfKubeAPIServerWhereBothMustAgree(t *testing.T) {
	o := New()
	if got := o.Etcd.StorageConfig.Prefix; got != "/registry" {
		t.Errorf("--etcd-prefix is %q", got)
	}
	if got := o.Etcd.DefaultStorageMediaType; got != runtime.ContentTypeProtobuf {
		t.Errorf("Jobs are stored as %q", got)
	}
	if got := o.SecureServing.BindPort; got != 8443 {
		t.Errorf("--secure-port is %d", got)
	}
	if !o.ServeSelfLink {
		t.Error("--serve-self-link is off")
	}
	if !o.AllowPrivileged {
		t.Error("--allow-privileged is off, and Jobs with privileged containers, which most clusters allow, would be invalid")
	}
	if o.EmbeddedEtcd.Directory != "" {
		t.Errorf("--embedded-etcd-directory is %q", o.EmbeddedEtcd.Directory)
	}
}

func TestFlagsAreGroupedBySubject(t *testing.T) {
	fss := New().Flags()
	for group, flags := range map[string][]string{
		"batchgate":      {"serve-self-link", "allow-privileged", "embedded-etcd-directory"},
		"generic":        {"feature-gates", "emulated-version", "shutdown-delay-duration", "max-requests-inflight"},
		"etcd":           {"etcd-servers", "etcd-prefix", "etcd-cafile", "etcd-certfile", "etcd-keyfile"},
		"secure serving": {"secure-port", "bind-address", "tls-cert-file", "tls-private-key-file"},
		"cluster":        {"kubeconfig"},
		"authentication": {"authentication-kubeconfig", "client-ca-file", "requestheader-client-ca-file"},
		"authorization":  {"authorization-kubeconfig"},
		"admission":      {"enable-admission-plugins", "disable-admission-plugins"},
		"auditing":       {"audit-policy-file", "audit-log-path", "audit-webhook-config-file"},
		"features":       {"profiling", "enable-priority-and-fairness"},
		"traces":         {"tracing-config-file"},
		"metrics":        {"show-hidden-metrics-for-version"},
		"logs":           {"v", "logging-format"},
	} {
		if !slices.Contains(fss.Order, group) {
			t.Errorf("there is no group %q", group)
			continue
		}
		for _, name := range flags {
			if fss.FlagSets[group].Lookup(name) == nil {
				t.Errorf("group %q has no flag --%s", group, name)
			}
		}
	}
	if fss.Order[0] != "batchgate" {
		t.Errorf("the first group is %q: this server's own flags are to come first", fss.Order[0])
	}
}

func TestValidateAccepts(t *testing.T) {
	for name, args := range map[string][]string{
		"a shared etcd":   required,
		"an embedded one": {"--embedded-etcd-directory=d", "--tls-cert-file=a.crt", "--tls-private-key-file=a.key"},
		"more": append([]string{
			"--etcd-prefix=/other", "--secure-port=443", "--kubeconfig=k", "--audit-log-path=-",
			"--disable-admission-plugins=PodSecurity", "--serve-self-link=false", "--shutdown-delay-duration=5s",
		}, required...),
	} {
		t.Run(name, func(t *testing.T) {
			if err := parse(t, args...).Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestValidateNamesWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no etcd":        {required[1:], "--etcd-servers must be specified"},
		"no certificate": {[]string{required[0], required[2]}, "--tls-cert-file and --tls-private-key-file are required"},
		"no key":         {required[:2], "--tls-cert-file and --tls-private-key-file are required"},
		"two etcds": {
			append([]string{"--embedded-etcd-directory=d"}, required...),
			"--etcd-servers and --embedded-etcd-directory exclude each other",
		},
		"no port":               {append([]string{"--secure-port=0"}, required...), "--secure-port must not be 0"},
		"a port out of range":   {append([]string{"--secure-port=70000"}, required...), "--secure-port 70000 must be between"},
		"an unknown plugin":     {append([]string{"--enable-admission-plugins=Nope"}, required...), "Nope"},
		"a negative limit":      {append([]string{"--max-requests-inflight=-1"}, required...), "--max-requests-inflight can not be negative"},
		"a negative delay":      {append([]string{"--shutdown-delay-duration=-1s"}, required...), "--shutdown-delay-duration can not be negative"},
		"an unknown media type": {append([]string{"--storage-media-type=text/plain"}, required...), "--storage-media-type"},
	} {
		t.Run(name, func(t *testing.T) {
			err := parse(t, tc.args...).Validate()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is\n%v\nwant in it\n%s", err, tc.want)
			}
		})
	}
}

func TestValidateNamesEverythingAtOnce(t *testing.T) {
	err := parse(t,
		"--secure-port=70000", "--max-requests-inflight=-1", "--enable-admission-plugins=Nope",
		"--audit-log-path=-", "--audit-log-maxage=-1", "--audit-log-format=xml", "--logging-format=xml",
	).Validate()
	aggregate, ok := err.(utilerrors.Aggregate)
	if !ok {
		t.Fatalf("the error is %T: %v", err, err)
	}
	for _, want := range []string{
		"--etcd-servers", "--tls-cert-file", "--secure-port", "--max-requests-inflight", `"Nope"`,
		"audit-log-maxage", "audit log format", "Unsupported log format",
	} {
		found := slices.ContainsFunc(aggregate.Errors(), func(err error) bool {
			return strings.Contains(err.Error(), want)
		})
		if !found {
			t.Errorf("%s is not named in\n%v", want, err)
		}
	}
}

func TestOneKubeconfigIsEnough(t *testing.T) {
	for name, tc := range map[string]struct {
		args                          []string
		authentication, authorization string
	}{
		"one":   {[]string{"--kubeconfig=k"}, "k", "k"},
		"three": {[]string{"--kubeconfig=k", "--authentication-kubeconfig=n", "--authorization-kubeconfig=z"}, "n", "z"},
		"none":  {nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := parse(t, tc.args...)
			if err := o.Complete(); err != nil {
				t.Fatal(err)
			}
			if got := o.Authentication.RemoteKubeConfigFile; got != tc.authentication {
				t.Errorf("authentication uses %q, want %q", got, tc.authentication)
			}
			if got := o.Authorization.RemoteKubeConfigFile; got != tc.authorization {
				t.Errorf("authorization uses %q, want %q", got, tc.authorization)
			}
		})
	}
}
