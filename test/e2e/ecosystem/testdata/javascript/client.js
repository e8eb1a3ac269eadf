// Changes a Job with the official JavaScript client, and prints the result of each call: ok or an error.
//
// Usage: client.js NAMESPACE JOB
import * as k8s from '@kubernetes/client-node';

const [namespace, name] = process.argv.slice(2);
const config = new k8s.KubeConfig();
config.loadFromDefault();
const batch = config.makeApiClient(k8s.BatchV1Api);

// call runs one call, and prints "ok", or the message of the API server.
async function call(step, f) {
  try {
    await f();
    console.log(`${step}: ok`);
  } catch (error) {
    if (!error.code || !error.body) {
      throw error;
    }
    console.log(`${step}: ${JSON.parse(error.body).message}`);
  }
}

function patch(body, type) {
  return batch.patchNamespacedJob({ name, namespace, body }, k8s.setHeaderOptions('Content-Type', type));
}

await call('create', () =>
  batch.createNamespacedJob({
    namespace,
    body: {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name },
      spec: {
        template: {
          metadata: { annotations: { 'test.batchgate.io/hold': '' } },
          spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'example.com/work:1' }] },
        },
      },
    },
  }),
);

// watched resolves when the watch reports the first patch.
const watched = new Promise((resolve, reject) => {
  const watch = new k8s.Watch(config);
  watch
    .watch(
      `/apis/batch/v1/namespaces/${namespace}/jobs`,
      { fieldSelector: `metadata.name=${name}` },
      (type, job) => {
        if (type === 'MODIFIED' && job.spec.parallelism === 2) {
          resolve();
        }
      },
      (error) => reject(error ?? new Error('the watch ended')),
    )
    .catch(reject);
});

await call('strategic merge patch', () => patch({ spec: { parallelism: 2 } }, k8s.PatchStrategy.StrategicMergePatch));
await watched;
console.log('watch: ok');
await call('merge patch', () => patch({ metadata: { labels: { team: 'a' } } }, k8s.PatchStrategy.MergePatch));
await call('JSON patch', () => patch([{ op: 'add', path: '/spec/suspend', value: true }], k8s.PatchStrategy.JsonPatch));
await call('apply', () =>
  batch.patchNamespacedJob(
    {
      name,
      namespace,
      fieldManager: 'test',
      body: { apiVersion: 'batch/v1', kind: 'Job', metadata: { name, annotations: { owner: 'a' } } },
    },
    k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.ServerSideApply),
  ),
);
await call('replace', async () => {
  const job = await batch.readNamespacedJob({ name, namespace });
  job.spec.activeDeadlineSeconds = 600;
  await batch.replaceNamespacedJob({ name, namespace, body: job });
});
await call('delete', () => batch.deleteNamespacedJob({ name, namespace, propagationPolicy: 'Background' }));
process.exit(0);
