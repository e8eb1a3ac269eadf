package integration

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const (
	tableMediaType    = "application/json;as=Table;v=v1;g=meta.k8s.io"
	protobufMediaType = "application/vnd.kubernetes.protobuf"
	yamlMediaType     = "application/yaml"
	cborMediaType     = "application/cbor"
)

// codecs are the encodings of requests and answers.
var codecs = map[string]struct {
	encode func(t *testing.T, job *batchv1.Job) []byte
	decode func(t *testing.T, content []byte) *batchv1.Job
}{
	"application/json": {
		func(t *testing.T, job *batchv1.Job) []byte { return encode(t, job) },
		func(t *testing.T, content []byte) *batchv1.Job { return (&answer{body: content}).job(t) },
	},
	yamlMediaType: {
		func(t *testing.T, job *batchv1.Job) []byte {
			content, err := yaml.Marshal(job)
			if err != nil {
				t.Fatal(err)
			}
			return content
		},
		func(t *testing.T, content []byte) *batchv1.Job {
			job := &batchv1.Job{}
			if err := yaml.UnmarshalStrict(content, job); err != nil {
				t.Fatalf("reading YAML: %v\n%s", err, content)
			}
			return job
		},
	},
	protobufMediaType: {
		func(t *testing.T, job *batchv1.Job) []byte {
			content, err := runtime.Encode(protobufCodec, job)
			if err != nil {
				t.Fatal(err)
			}
			return content
		},
		func(t *testing.T, content []byte) *batchv1.Job {
			obj, err := runtime.Decode(protobufCodec, content)
			if err != nil {
				t.Fatalf("reading protobuf: %v\n%q", err, content)
			}
			return obj.(*batchv1.Job)
		},
	},
}

var protobufCodec = protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)

func TestEveryEncodingSaysTheSame(t *testing.T) {
	t.Parallel()
	for mediaType, codec := range codecs {
		t.Run(mediaType, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			send := func(method, path string, job *batchv1.Job) *answer {
				r := request{method: method, path: path, accept: mediaType}
				if job != nil {
					r.contentType, r.body = mediaType, codec.encode(t, job)
				}
				a := shared.admin.do(t, r)
				if got := a.header.Get("Content-Type"); got != mediaType {
					t.Errorf("%s is answered with %s", method, got)
				}
				return a
			}
			send(http.MethodPost, jobsPath(namespace), newJob(t)).expect(t, http.StatusCreated)
			got := codec.decode(t, send(http.MethodGet, jobPath(namespace, "pi"), nil).expect(t, http.StatusOK).body)
			if diff := cmp.Diff(shared.admin.get(t, jobPath(namespace, "pi")).job(t), got); diff != "" {
				t.Errorf("the Job is not that of JSON (-want +got):\n%s", diff)
			}

			got.Labels["team"] = "green"
			got = codec.decode(t, send(http.MethodPut, jobPath(namespace, "pi"), got).expect(t, http.StatusOK).body)
			if got.Labels["team"] != "green" || got.SelfLink != jobPath(namespace, "pi") {
				t.Errorf("the updated Job is not the wanted one: %v", got.ObjectMeta)
			}
			was := shared.read(t, jobKey(namespace, "pi"))
			got.Spec.Template.Spec.Containers[0].Image = "python"
			send(http.MethodPut, jobPath(namespace, "pi"), got).expect(t, http.StatusUnprocessableEntity)
			shared.read(t, jobKey(namespace, "pi")).mustEqual(t, was)
		})
	}
}

func TestCBORIsOffAsUpstreamHasIt(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t))
	path := jobPath(namespace, "pi")
	shared.admin.do(t, request{method: http.MethodGet, path: path, accept: cborMediaType}).expect(t, http.StatusNotAcceptable)
	shared.admin.do(t, request{method: http.MethodPut, path: path, contentType: cborMediaType, body: []byte{0xa0}}).expect(t, http.StatusUnsupportedMediaType)
	shared.admin.patch(t, path, "application/apply-patch+cbor", "\xa0").expect(t, http.StatusUnsupportedMediaType)
	a := shared.admin.do(t, request{method: http.MethodGet, path: path, accept: cborMediaType + ", application/json"}).expect(t, http.StatusOK)
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("a client that also reads JSON gets %s", got)
	}
}

func TestTablesAreWhatKubectlPrints(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.create(t, namespace, newJob(t))
	shared.admin.do(t, request{method: http.MethodPost, path: cronJobsPath(namespace), body: []byte(cronJob)}).expect(t, http.StatusCreated)
	for path, row := range map[string]struct{ columns, cells []string }{
		jobsPath(namespace): {
			[]string{"Name", "Status", "Completions", "Duration", "Age", "Containers", "Images", "Selector"},
			[]string{"pi", "Running", "0/3", "", "", "main,side", "perl,busybox", ""},
		},
		jobPath(namespace, "pi"): {
			[]string{"Name", "Status", "Completions", "Duration", "Age", "Containers", "Images", "Selector"},
			[]string{"pi", "Running", "0/3", "", "", "main,side", "perl,busybox", ""},
		},
		cronJobsPath(namespace): {
			[]string{"Name", "Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age", "Containers", "Images", "Selector"},
			[]string{"nightly", "0 3 * * *", "<none>", "False", "0", "<none>", "", "main", "perl", "<none>"},
		},
	} {
		var table metav1.Table
		shared.admin.do(t, request{method: http.MethodGet, path: path, accept: tableMediaType}).expect(t, http.StatusOK).decode(t, &table)
		var columns []string
		for _, column := range table.ColumnDefinitions {
			columns = append(columns, column.Name)
		}
		if diff := cmp.Diff(row.columns, columns); diff != "" {
			t.Errorf("%s: the columns are not the wanted ones (-want +got):\n%s", path, diff)
		}
		if len(table.Rows) != 1 {
			t.Fatalf("%s: the table has %d rows", path, len(table.Rows))
		}
		varies := sets.New("Age", "Duration")
		if path != cronJobsPath(namespace) {
			varies.Insert("Selector") // the Job's UID
		}
		for i, cell := range table.Rows[0].Cells {
			if !varies.Has(columns[i]) && cmp.Diff(row.cells[i], text(cell)) != "" {
				t.Errorf("%s: %s is %v, want %s", path, columns[i], cell, row.cells[i])
			}
		}
	}
}
