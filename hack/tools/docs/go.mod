module github.com/batchgate/batchgate/hack/tools/docs

go 1.26.0

require (
	github.com/yuin/goldmark v1.8.6
	go.yaml.in/yaml/v3 v3.0.4
)
