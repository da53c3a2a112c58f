#!/usr/bin/env bash
# The first minutes of genbench on a borrowed GPU: the numbers of the speed table, by genbench's own commands.
#
#   benchmarks/perf/first_minutes.sh PART      PART: check, train, batch, sample or features
#
# Each part takes less than ten minutes of an H100 (check 4, train 9, batch 8, sample 7, features 6). The most valuable comes
# first: if the time runs out, the parts before it stand. Numbers go to $OUT/PART.csv (name, value, unit, expected), records to
# $OUT/PART.jsonl. Nothing is downloaded: images are made here, and the networks of metrics have random weights, which take the
# same time. EXPECTED comes from a model of traffic and arithmetic for an H100, not from a measurement: look first into numbers
# that are off by more than a factor of 1.5.
#
# Without a GPU, tests/fake_gpu rehearses the commands (not the speed):
#   PYTHONPATH=$PWD:$PWD/tests GB="python -m fake_gpu.command_line" SHORT=1 LONG=2 IMAGES=60 TRAINED=2 SAMPLES=16 TINY=1 \
#     benchmarks/perf/first_minutes.sh train
set -uo pipefail
PART=${1:?check, train, batch, sample or features}
PYTHON=${PYTHON:-python3}
GB=${GB:-"$PYTHON -m genbench"}
WORK=${WORK:-$(mktemp -d)}                 # images, runs and caches; give one folder to all parts to decode the images once
OUT=${OUT:-$WORK}
SHORT=${SHORT:-200} LONG=${LONG:-1200}     # steps; the difference of two runs is free of starting, compiling and preparing
IMAGES=${IMAGES:-10000} TRAINED=${TRAINED:-3000} SAMPLES=${SAMPLES:-4000}
mkdir -p "$OUT" "$WORK"
export GENBENCH_HOME=${GENBENCH_HOME:-$WORK/home} GENBENCH_OFFLINE=1 TORCHINDUCTOR_CACHE_DIR=$WORK/inductor
CSV=$OUT/$PART.csv; echo "name,value,unit,expected" > "$CSV"
note() { echo "$1,$2,$3,$4" | tee -a "$CSV"; }
failed() { note "$1" "FAILED: $(tail -n 1 "$2" | tr ',' ';' | cut -c1-200)" - -; }

# Color images of 32x32, smooth noise, in the folders that data.path needs; 10,000 are enough for speed.
DATA=$WORK/images.tar
[ -f "$DATA" ] || $PYTHON - "$DATA" "$IMAGES" <<'PY'
import io, sys, tarfile
import numpy as np
from PIL import Image
stream, count = np.random.default_rng(0), int(sys.argv[2])
with tarfile.open(sys.argv[1], "w") as tar:
    for split, n in (("train", count), ("test", max(20, count // 5))):
        for i in range(n):
            coarse, file = stream.integers(0, 256, (8, 8, 3), dtype=np.uint8), io.BytesIO()
            Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC).save(file, "PNG")
            member = tarfile.TarInfo(f"{split}/{i % 10}/{i}.png")
            member.size = file.tell()
            file.seek(0)
            tar.addfile(member, file)
PY
CIFAR=(--dataset cifar10 --set "data.path=$DATA" --set data.valid=20)
TINY=${TINY:+"--set plan.batch_size=8 --set model.net.channels=8 --set model.net.multipliers=[1,1,1] --set model.net.attention=[]"}
QUICK="--metric nfe --set evaluation.n=16 --set evaluation.batch=16 --set sample.method=euler --set sample.steps=1"

run() {                                    # run NAME OPTIONS...: one record, or the reason why there is none
  local name=$1; shift
  $GB run "${CIFAR[@]}" $TINY --results "$WORK/$name" --set plan.grid_every=0 --set evaluation.floor=false --json --quiet "$@" \
    > "$WORK/$name.json" 2> "$WORK/$name.err" || { failed "$name" "$WORK/$name.err"; return 1; }
  $PYTHON -c "import json; print(json.dumps(json.load(open('$WORK/$name.json'))))" >> "$OUT/$PART.jsonl"
}
training() { $PYTHON -c "import json; print(json.load(open('$WORK/$1.json'))['provenance']['training']['cost']['$2'])"; }
measuring() { $PYTHON -c "import json; print(json.load(open('$WORK/$1.json'))['provenance']['measurements'][-1]['cost']['$2'])"; }
value() { $PYTHON -c "import json; print(next(r['value'] for r in json.load(open('$WORK/$1.json'))['results'] if r['metric'] == '$2'))"; }

per_step() {                               # per_step NAME EXPECTED_MS OPTIONS...: ms a step, without what is done once
  local name=$1 expected=$2; shift 2
  run "$name-s" $QUICK --set "plan.steps=$SHORT" "$@" && run "$name-l" $QUICK --set "plan.steps=$LONG" "$@" || return
  $PYTHON - "$name" "$expected" "$(training "$name-s" train_seconds)" "$(training "$name-l" train_seconds)" "$SHORT" "$LONG" <<'PY' | tee -a "$CSV"
import sys
name, expected, (short_s, long_s, short, long) = sys.argv[1], sys.argv[2], map(float, sys.argv[3:])
step = (long_s - short_s) / (long - short)
print(f"{name}: a step,{1000 * step:.2f},ms,{expected}")
print(f"{name}: done once (preparing or compiling),{short_s - short * step:.1f},s,-")
print(f"{name}: 400000 steps,{400_000 * step / 3600:.2f},h,-")
PY
  note "$name: peak memory" "$(training "$name-l" train_peak_mib)" MiB -
}

case $PART in
check)                                     # the ceilings of the card; every model; is a training repeatable?
  nvidia-smi --query-gpu=name,memory.total,driver_version,clocks.sm --format=csv,noheader 2>/dev/null
  $GB doctor | head -12
  $PYTHON - <<'PY' | tee -a "$CSV"
import torch
if torch.version.cuda and torch.cuda.is_available():
    def ms(work, n=20):
        for _ in range(3):
            work()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(n):
            work()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / n

    x = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    y = torch.empty_like(x)
    print(f"copy,{2 * 2**30 / ms(lambda: y.copy_(x)) / 1e9:.2f},TB/s,3.0")
    for dtype, name, expected in ((torch.bfloat16, "bf16", 750), (torch.float32, "fp32", 50)):
        a = torch.randn(8192, 8192, dtype=dtype, device="cuda")
        print(f"matrix product {name},{2 * 8192**3 / ms(lambda: a @ a, 5) / 1e9:.0f},TFLOP/s,{expected}")
    w, x = torch.randn(256, 256, 3, 3, device="cuda"), torch.randn(128, 256, 16, 16, device="cuda")
    for tf32 in (True, False):
        for form in (torch.contiguous_format, torch.channels_last):
            torch.backends.cudnn.allow_tf32 = tf32
            u, v = x.to(memory_format=form), w.to(memory_format=form)
            speed = 2 * 128 * 256 * 256 * 9 * 256 / ms(lambda: torch.nn.functional.conv2d(u, v, padding=1)) / 1e9
            print(f"conv 256 at 16x16 tf32={tf32} {str(form)[6:]},{speed:.0f},TFLOP/s,-")
PY
  cat > "$WORK/all.toml" <<TOML
models = ["cfm", "otcfm", "sdcfm", "wcfm", "wcfm-balanced", "fm", "sbcfm", "vp", "consistency", "meanflow", "shortcut", "reflow", "tarflow", "starflow", "gaussian"]
datasets = ["8gaussians", "digits"]
seeds = [0]
plan = {steps = ${CHECKED:-30}, ema = 0.9, clip = 1.0}
evaluation = {n = 256}
TOML
  $GB sweep "$WORK/all.toml" --results "$WORK/all" --quiet > "$WORK/all.out" 2>&1
  note "15 models on 8gaussians and digits: failed" "$(grep -c failed "$WORK/all.out")" cells 0
  for i in 1 2; do run "twice-$i" $QUICK --model wcfm --set "plan.steps=$((SHORT / 4 + 1))" --set plan.ema=0; done
  note "two trainings end with the same weights" "$($PYTHON - "$WORK"/twice-{1,2}/runs/*/model.safetensors <<'PY'
import sys
from safetensors.torch import load_file
a, b = map(load_file, sys.argv[1:])
apart = max(float((a[name] - b[name]).abs().max()) for name in a)
print("yes" if apart == 0 else f"no: up to {apart:.1e}")
PY
)" - "no: cuDNN adds in any order"
  ;;
train)                                     # the first row of the speed table
  run warm $QUICK --model wcfm --set plan.steps=2   # decodes the images and fills the caches that the runs below share
  LONG=$((SHORT + (LONG - SHORT) / 4)) per_step wcfm-fp32 "115 (90-150)" --model wcfm
  per_step wcfm-tf32          "38 (30-50)"  --model wcfm --set plan.precision=tf32
  per_step wcfm-bf16          "29 (24-38)"  --model wcfm --set plan.precision=bf16
  per_step wcfm-bf16-compiled "18 (14-25)"  --model wcfm --set plan.precision=bf16 --set plan.compile=true
  per_step otcfm-bf16         "wcfm + 0-4"  --model otcfm --set plan.precision=bf16
  per_step cfm-bf16           "wcfm - 0.1"  --model cfm --set plan.precision=bf16
  ;;
batch)                                     # memory by batch, and what a larger batch gains
  steps=$(((LONG - SHORT) / 8 + 1)) SHORT=$(((SHORT + 1) / 2)); LONG=$((SHORT + steps))   # steps take seconds here
  for batch in ${BATCHES:-256 512 1024}; do
    per_step "wcfm-bf16-$batch" "$((batch * 28 / 128))" --model wcfm --set plan.precision=bf16 --set "plan.batch_size=$batch"
  done
  large=(--model wcfm --set plan.precision=bf16 --set "plan.batch_size=$batch")
  per_step "wcfm-bf16-$batch-checkpoint" "a third more" "${large[@]}" --set model.net.checkpoint=true
  per_step "wcfm-bf16-$batch-accumulate4" "4 x a quarter" "${large[@]}" --set plan.accumulate=4
  # Too large on purpose: the reason in the table must say what to set.
  [ -n "$TINY" ] || run too-large $QUICK --model wcfm --set plan.steps=5 --set plan.batch_size=16384 --set plan.precision=bf16
  ;;
sample)                                    # samples a second, with a fixed and an adaptive solver
  run trained $QUICK --model wcfm --set "plan.steps=$TRAINED" --set plan.precision=bf16 --set plan.warmup=200 --set plan.ema=0.99 || exit
  for solver in euler dopri5; do
    options=(--set "sample.method=$solver" --set "evaluation.n=$SAMPLES" --set evaluation.batch=500)
    options+=(--set "sample.steps=$([ $solver = euler ] && echo 50 || echo 0)")
    $GB eval "$WORK"/trained/runs/wcfm-cifar10* --metric nfe --metric bits_per_dim --metric straightness "${options[@]}" \
      --json --quiet > "$WORK/$solver.json" 2> "$WORK/$solver.err" || { failed "$solver" "$WORK/$solver.err"; continue; }
    nfe=$(value $solver nfe) seconds=$(measuring $solver sample_seconds)
    note "$solver: evaluations of the network for a sample" "$nfe" - "$([ $solver = euler ] && echo 50 || echo '130-150 (trained 400000 steps)')"
    note "$solver: evaluations of the network" "$($PYTHON -c "print(round($SAMPLES * $nfe / $seconds))")" 1/s "3900 (3000-4800)"
    note "$solver: 50000 samples" "$($PYTHON -c "print(round(50000 * $seconds / $SAMPLES / 60, 1))")" min "$([ $solver = euler ] && echo '11 (8-14)' || echo '30 (23-40)')"
    note "$solver: likelihood and paths" "$($PYTHON -c "print(round($(measuring $solver evaluate_seconds) - $seconds, 1))")" s 60
  done
  ;;
features)                                  # images a second through the networks of metrics, and the rest of an FID
  cat > "$WORK/inception.py" <<'PY'         # a file, which TorchScript reads
import sys
import numpy as np
import torch
import torchvision

class Script(torch.nn.Module):
    """Inception as the published TorchScript file has it, with random weights, which take the same time."""

    def __init__(self, layers, output):
        super().__init__()
        self.layers, self.output = layers, output

    def forward(self, img, return_features: bool = False, no_output_bias: bool = False):
        x = torch.nn.functional.interpolate(img.float(), [299, 299], mode="bilinear", align_corners=False)
        x = self.layers((x - 128) / 128).reshape(-1, 2048)
        return x if return_features else self.output(x).softmax(1)

folder, count = sys.argv[1], int(sys.argv[2])
samples = np.random.default_rng(1).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
np.savez(f"{folder}/samples.npz", samples=samples)
net = torchvision.models.inception_v3(weights=None, init_weights=False, aux_logits=False).eval()
layers = [layer for name, layer in net.named_children() if name not in ("dropout", "fc", "AuxLogits")]
torch.jit.script(Script(torch.nn.Sequential(*layers), torch.nn.Linear(2048, 1008)).eval()).save(f"{folder}/script.pt")
PY
  $PYTHON "$WORK/inception.py" "$WORK" "$IMAGES"
  sum=$(sha256sum "$WORK/script.pt" | cut -d' ' -f1)
  timed() {                                # timed NAME EXPECTED METRIC OPTIONS...
    local name=$1 expected=$2 metric=$3 start; shift 3; start=$(date +%s.%N)
    $GB eval "$WORK/samples.npz" "${CIFAR[@]}" --metric "$metric" --json --quiet "$@" > "$WORK/$metric.json" 2> "$WORK/$metric.err" ||
      { failed "$name" "$WORK/$metric.err"; return; }
    note "$name" "$($PYTHON -c "print(round($(date +%s.%N) - $start, 1))")" s "$expected"
  }
  weights() { echo --set "metric.$1.features.weights=$WORK/script.pt" --set "metric.$1.features.sha256=$sum"; }
  timed "start of a command (norm)" 6 norm
  timed "fid-legacy of $IMAGES samples and of the real images" "25 + start" fid-legacy $(weights fid-legacy)
  timed "fid-legacy of $IMAGES samples; real images kept" "15 + start" fid-legacy $(weights fid-legacy)
  timed "fid-clean of $IMAGES samples and of the real images: resized on one core" "60-150" fid-clean $(weights fid-clean)
  timed "fd-efficientnet_lite0 of $IMAGES samples: resized on one core" "40-80" fd-efficientnet_lite0
  ;;
*) echo "check, train, batch, sample or features" >&2; exit 2 ;;
esac
column -s, -t "$CSV" 2>/dev/null || cat "$CSV"
