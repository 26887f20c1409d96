/** The files of a PyTorch job that are made of words: its README and the Kubernetes manifest. Knows no files on disk. */
import { stringify } from 'yaml'
import type { TrainingMethod } from '../fine-tune/recipe.ts'
import type { TorchJob } from './torch-job-format.ts'

/** Where the job folder is mounted in a pod. */
const MOUNT = '/job'
const PORT = 29_500
const NODE_COUNT = 2
/** Any image with this Python will do: requirements.txt brings the rest. */
const IMAGE = 'python:3.11'

/**
 * `job.yaml`: an indexed Job, one pod per node, and the headless Service by which the pods find the first one. The job folder
 * is expected on a volume that all pods may write.
 */
export function kubernetesManifest({ id }: TorchJob): string {
  const name = `understudy-${id}`
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { clusterIP: 'None', selector: { 'job-name': name }, ports: [{ port: PORT }] },
  }
  const job = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name },
    spec: {
      completions: NODE_COUNT,
      parallelism: NODE_COUNT,
      completionMode: 'Indexed',
      backoffLimit: 6,
      template: { spec: podSpec(name) },
    },
  }
  const comment = [
    'Not run on a cluster when this was written: check it against yours. Before applying it, put the job folder on a',
    'volume with access mode ReadWriteMany, and name its claim below. For one node, set completions, parallelism and',
    'NNODES to 1; for CPUs, drop the GPU limit and set NPROC_PER_NODE to 1.',
  ]
  return [...comment.map(line => `# ${line}`), ...[service, job].map(toDocument)].join('\n')
}

function podSpec(name: string) {
  const env = {
    NNODES: String(NODE_COUNT),
    NPROC_PER_NODE: 'gpu',
    MASTER_ADDR: `${name}-0.${name}`,
    MASTER_PORT: String(PORT),
    RUN_ID: name,
  }
  return {
    subdomain: name,
    restartPolicy: 'OnFailure',
    containers: [
      {
        name: 'train',
        image: IMAGE,
        workingDir: MOUNT,
        command: ['sh', '-c', 'pip install -r requirements.txt && exec ./launch.sh'],
        env: [
          {
            name: 'NODE_RANK',
            valueFrom: {
              fieldRef: {
                fieldPath: "metadata.annotations['batch.kubernetes.io/job-completion-index']",
              },
            },
          },
          ...Object.entries(env).map(([key, value]) => ({ name: key, value })),
        ],
        resources: { limits: { 'nvidia.com/gpu': 1 } },
        volumeMounts: [{ name: 'job', mountPath: MOUNT }],
      },
    ],
    volumes: [{ name: 'job', persistentVolumeClaim: { claimName: 'understudy-job' } }],
  }
}

function toDocument(value: unknown): string {
  return `---\n${stringify(value)}`
}

/** What comes back beside the head. */
const TRAINED: Readonly<Partial<Record<TrainingMethod, string>>> = {
  lora: '`adapter/` (PEFT), ',
  full: '`model/`, ',
}

/** `README.md` of a job folder. */
export function jobReadme(job: TorchJob): string {
  const { id, recipe, kind, labels, baseModel, data } = job
  const from =
    baseModel.source.kind === 'folder'
      ? 'its files are in `model/`'
      : `fetched from ${baseModel.source.repository} at ${baseModel.source.revision}`
  const trained = TRAINED[recipe.method] ?? ''
  return `# Fine-tuning job ${id}

Method \`${recipe.method}\`, ${recipe.epochCount} epochs; base model ${baseModel.name}, ${from};
${labels.length} labels (${kind}); ${data.trainingCount} rows to train on, ${data.selectionCount} to measure on.

\`\`\`sh
pip install -r requirements.txt
./launch.sh
understudy train . --on torch --output ../model
\`\`\`

The first two commands run where the hardware is; the last one where Understudy runs, in this folder once it is copied back. On
one node with several GPUs: \`NPROC_PER_NODE=gpu ./launch.sh\`. On several nodes, with this folder on storage that all of them
share: \`NNODES=2 NODE_RANK=0 MASTER_ADDR=first-node ./launch.sh\` on the first, \`NODE_RANK=1\` on the second. On Kubernetes:
\`kubectl apply -f job.yaml\`, after reading its first lines. Without torchrun: \`python3 train.py\`.

- \`recipe.json\` and \`data.jsonl\` decide the weights. Nothing is random but by the recipe's seed. The number of processes changes
  the weights by rounding, and with dropout by other draws: each process has its own.
- An interrupted run goes on from \`checkpoint.pt\` when it is started again.
- \`result/\` appears when all is done: ${trained}\`classifier.safetensors\`, \`selection-logits.safetensors\`,
  \`metrics.json\`.
- \`data.jsonl\` holds the texts to learn from. Treat this folder as you treat the file they come from, and delete it afterwards.
- On GPUs that can, matrix products are computed in bfloat16; \`./launch.sh --precision float32\` turns that off.
  \`--gradient-checkpointing\` trades time for memory.
`
}
