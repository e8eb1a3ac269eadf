"""Changes a Job with the official Python client, and prints the result of each call: ok or an error.

Usage: client.py NAMESPACE JOB
"""

import json
import sys

from kubernetes import client, config, dynamic, watch

namespace, name = sys.argv[1:]
config.load_kube_config()
batch = client.BatchV1Api()
jobs = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="batch/v1", kind="Job")


def call(step, function, *args, **kwargs):
    """Runs one call, and prints "ok", or the message of the API server."""
    try:
        function(*args, **kwargs)
        print(step + ": ok")
    except client.ApiException as error:
        print(step + ": " + json.loads(error.body)["message"])


def patch(body, content_type):
    jobs.patch(body=body, name=name, namespace=namespace, content_type=content_type)


def replace():
    job = batch.read_namespaced_job(name, namespace)
    job.spec.active_deadline_seconds = 600
    batch.replace_namespaced_job(name, namespace, job)


def apply():
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "annotations": {"owner": "a"}}}
    # The client accepts the body of an apply only as a YAML string. JSON is valid YAML.
    jobs.server_side_apply(body=json.dumps(body), name=name, namespace=namespace, field_manager="test")


template = client.V1PodTemplateSpec(
    metadata=client.V1ObjectMeta(annotations={"test.batchgate.io/hold": ""}),
    spec=client.V1PodSpec(restart_policy="Never", containers=[client.V1Container(name="main", image="example.com/work:1")]),
)
created = client.V1Job(metadata=client.V1ObjectMeta(name=name), spec=client.V1JobSpec(template=template))
call("create", batch.create_namespaced_job, namespace, created)
# The client sends a dictionary as a strategic merge patch, and a list as a JSON patch.
call("strategic merge patch", batch.patch_namespaced_job, name, namespace, {"spec": {"parallelism": 2}})
for event in watch.Watch().stream(batch.list_namespaced_job, namespace, field_selector="metadata.name=" + name, timeout_seconds=60):
    if event["object"].spec.parallelism == 2:
        print("watch: ok")
        break
call("merge patch", patch, {"metadata": {"labels": {"team": "a"}}}, "application/merge-patch+json")
call("JSON patch", batch.patch_namespaced_job, name, namespace, [{"op": "add", "path": "/spec/suspend", "value": True}])
call("apply", apply)
call("replace", replace)
call("delete", batch.delete_namespaced_job, name, namespace, propagation_policy="Background")
