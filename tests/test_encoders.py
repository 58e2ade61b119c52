"""Vectors: the same for the same picture, exactly the model's own preprocessing, an identity that follows the weights."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from presel import encoders
from presel.config import EncoderConfig, ImageConfig
from presel.encoders import Encoder, identity, load_encoder
from presel.encoders.builtin import BuiltinEncoder
from presel.encoders.licences import licence
from presel.errors import ConfigError, ModelError
from presel.images import Picture
from presel.images.decoding import open_picture
from tests.image_files import TINY_CLIP, encoded, photograph

TIMM = "timm:test_vit.r160_in1k"
DINO = "timm:vit_small_patch14_dinov2.lvd142m"


def pictures(count: int = 11) -> list[Image.Image]:
    return [photograph(500, 400).rotate(9 * number) for number in range(count)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Random weights for a small model of each library, as safetensors files."""
    import open_clip
    import timm
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("weights")
    (folder / "tiny-clip.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(folder / "tiny-clip.json")
    torch.manual_seed(0)
    models = {TIMM: timm.create_model("test_vit"), "clip": open_clip.create_model("tiny-clip")}
    for name, model in models.items():
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / f"{len(name)}.sft")
    paths = {name: folder / f"{len(name)}.safetensors" for name in models}
    for path in paths.values():
        path.with_suffix(".sft").rename(path)
    return {name: str(path) for name, path in paths.items()}


@pytest.fixture(params=["builtin", "timm", "open_clip"])
def encoder(request: pytest.FixtureRequest, weights: dict[str, str]) -> Encoder:
    configs = {
        "builtin": EncoderConfig(name="builtin"),
        "timm": EncoderConfig(name=TIMM, weights=weights[TIMM], device="cpu"),
        "open_clip": EncoderConfig(name=f"open_clip:tiny-clip/{weights['clip']}", device="cpu"),
    }
    return load_encoder(configs[request.param])


def test_vectors_are_finite_float32_of_the_announced_length(encoder: Encoder) -> None:
    vectors = encoder.encode([encoder.prepare(image) for image in pictures(3)])
    assert vectors.shape == (3, encoder.dimensions)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert (np.linalg.norm(vectors, axis=1) > 0).all()


def test_a_vector_does_not_depend_on_its_batch_or_on_order(encoder: Encoder) -> None:
    prepared = [encoder.prepare(image) for image in pictures()]
    whole = encoder.encode(prepared)
    alone = np.concatenate([encoder.encode([one]) for one in prepared])
    backwards = encoder.encode(prepared[::-1])[::-1]
    assert whole.tobytes() == alone.tobytes() == np.ascontiguousarray(backwards).tobytes()


@pytest.mark.parametrize("size", [(8, 8), (8, 160), (160, 8), (33, 1000)])
def test_pictures_of_any_shape_are_prepared(encoder: Encoder, size: tuple[int, int]) -> None:
    vectors = encoder.encode([encoder.prepare(photograph(*size))])
    assert np.isfinite(vectors).all()


def exact_timm(weights: dict[str, str]) -> tuple[Any, Callable[[Image.Image], Any]]:
    import timm

    model = timm.create_model("test_vit", num_classes=0).eval()
    state = encoders.recipe.tensors(weights[TIMM])
    model.load_state_dict({name: value for name, value in state.items() if not name.startswith("head.")})
    settings = timm.data.resolve_data_config({}, model=timm.create_model("test_vit.r160_in1k"))
    return model, timm.data.create_transform(**settings)


def exact_open_clip(weights: dict[str, str]) -> tuple[Any, Callable[[Image.Image], Any]]:
    import open_clip

    model, _, transform = open_clip.create_model_and_transforms("tiny-clip", pretrained=weights["clip"])
    return model.eval().visual, transform


@pytest.mark.parametrize(("name", "exact"), [(TIMM, exact_timm), ("clip", exact_open_clip)], ids=["timm", "open_clip"])
def test_vectors_are_those_of_the_librarys_own_transform(
    weights: dict[str, str], name: str, exact: Callable[..., Any]
) -> None:
    import torch

    model, transform = exact(weights)
    named = TIMM if name == TIMM else f"open_clip:tiny-clip/{weights['clip']}"
    encoder = load_encoder(EncoderConfig(name=named, weights=weights[name], device="cpu"))
    for image in [*pictures(4), photograph(300, 700), photograph(97, 41)]:
        with torch.no_grad():
            expected = model(transform(image)[None])[0].numpy()
        got = encoder.encode([encoder.prepare(image)])[0]
        assert expected @ got / np.linalg.norm(expected) / np.linalg.norm(got) > 0.9999


@lru_cache(maxsize=1)
def jpegs() -> dict[str, bytes]:
    """Real photographs as the JPEGs that cameras, scanners and the web make of them; most are decoded scaled down."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    china, flower = (Image.fromarray(pixels) for pixels in load_sample_images().images)
    retina, motorcycle = Image.fromarray(data.retina()), Image.fromarray(data.stereo_motorcycle()[0])
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "baseline": encoded(retina, "JPEG", quality=85),
        "progressive": encoded(flower, "JPEG", quality=85, progressive=True),
        "grey": encoded(china.convert("L"), "JPEG", quality=85),
        "cmyk": encoded(flower.convert("CMYK"), "JPEG", quality=85),
        "turned": encoded(china, "JPEG", quality=85, exif=turned),
        "4:2:0": encoded(retina, "JPEG", quality=75, subsampling=2),
        "4:4:4": encoded(motorcycle, "JPEG", quality=95, subsampling=0),
        "odd": encoded(motorcycle.resize((667, 451)), "JPEG", quality=50),
        "odd, half a pixel": encoded(motorcycle.resize((477, 322)), "JPEG", quality=85),
        "texture": encoded(Image.fromarray(data.hubble_deep_field()), "JPEG", quality=85),
        "small": encoded(flower.resize((71, 47)), "JPEG", quality=85),
        "panorama": encoded(china.crop((0, 100, 640, 180)), "JPEG", quality=85),
    }


def test_a_jpeg_from_its_bytes_has_the_vector_of_the_exact_path(encoder: Encoder, weights: dict[str, str]) -> None:
    """Exact: decoded whole by Pillow, then the model's own transform."""
    import torch

    model: Any = None
    if encoder.identity != BuiltinEncoder.identity:
        model, transform = (exact_timm if "timm" in encoder.identity else exact_open_clip)(weights)
    cosines = {}
    for kind, data in jpegs().items():
        whole, taken = open_picture(data, ImageConfig()), open_picture(data, ImageConfig(), side=encoder.side)
        assert isinstance(whole, Picture)
        assert isinstance(taken, Picture)
        if model is None:
            expected = encoder.encode([encoder.prepare(whole.image)])[0]
        else:
            with torch.no_grad():
                expected = model(transform(whole.image)[None])[0].numpy()
        (got,) = encoder.encode([encoder.prepare(np.array(taken.image), (taken.width, taken.height))])
        cosines[kind] = float(expected @ got / np.linalg.norm(expected) / np.linalg.norm(got))
    assert {kind: cosine for kind, cosine in cosines.items() if cosine < 0.9995} == {}


def test_large_jpegs_are_not_decoded_whole_for_a_tower(weights: dict[str, str]) -> None:
    encoder = load_encoder(EncoderConfig(name=TIMM, weights=weights[TIMM], device="cpu"))
    picture = open_picture(jpegs()["baseline"], ImageConfig(), side=encoder.side)
    assert isinstance(picture, Picture)
    assert picture.image.width < picture.width


def test_dinov2_sees_the_centre_224_of_a_shorter_side_of_256(tmp_path: Path) -> None:
    import timm

    from presel.encoders.timm import _preprocess

    preprocess, settings = _preprocess(DINO, timm.get_pretrained_cfg(DINO.partition(":")[2]))
    assert (preprocess.resize, preprocess.mode, preprocess.crop) == ((256, 256), "shortest", (224, 224))
    assert preprocess.interpolation == "bicubic"
    assert dict(settings) == {"img_size": 224}


@pytest.mark.parametrize("model", ["vit_base_patch16_dinov3.lvd1689m", "vit_large_patch16_dinov3.sat493m"])
def test_dinov3_is_pooled_by_its_class_token_as_its_authors_do(model: str) -> None:
    import timm

    from presel.encoders.timm import _preprocess

    config = timm.get_pretrained_cfg(model)
    preprocess, settings = _preprocess(model, config)
    assert dict(settings) == {"global_pool": "token"}
    assert (preprocess.mean, preprocess.std) == (tuple(config.mean), tuple(config.std))
    assert (preprocess.mean[0] == 0.43) == model.endswith("sat493m")


def test_the_vector_of_dinov3_is_its_class_token(tmp_path: Path) -> None:
    import timm
    import torch
    from safetensors.torch import save_file

    model = "vit_small_patch16_dinov3"
    torch.manual_seed(0)
    tower = timm.create_model(model, pretrained=False, num_classes=0).eval()
    save_file(tower.state_dict(), tmp_path / "weights.safetensors")
    name = f"timm:{model}.lvd1689m"
    encoder = load_encoder(EncoderConfig(name=name, weights=str(tmp_path / "weights.safetensors"), device="cpu"))
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    (vector,) = encoder.encode([pixels])
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        seen = tower.forward_features((torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 - mean) / std)
    assert np.allclose(vector, seen[0, 0].numpy(), atol=1e-4)
    assert not np.allclose(vector, seen[0, tower.num_prefix_tokens :].mean(dim=0).numpy(), atol=1e-2)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm:vit_base_patch14_dinov2.lvd142m", "licence apache-2.0"),
        ("timm:vit_base_patch16_dinov3.lvd1689m", "licence dinov3-license, its own terms: read them"),
        ("timm:vit_base_patch14_reg1_tipsv2.webli", "licence apache-2.0"),
        ("timm:convnext_tiny.eupe_lvd1689m", "licence fair-noncommercial-research-license: not for commercial use"),
        ("open_clip:ViT-B-16-SigLIP2/webli", "licence apache-2.0"),
        ("open_clip:PE-Core-B-16/meta", "licence apache-2.0"),
        ("open_clip:MobileCLIP2-S0/dfndr2b", "licence apple-amlr: not for commercial use"),
        ("open_clip:ViT-B-32/openai", "licence not known here: see the card of its weights"),
        ("builtin", "licence apache-2.0"),
    ],
)
def test_the_terms_of_an_encoder_are_known(name: str, said: str) -> None:
    assert licence(name).said == said
    assert licence(name).commercial == ("not for commercial" not in said)


@pytest.mark.parametrize(
    "name", ["timm:naflexvit_base_patch16_siglip.v2_webli", "open_clip:ViT-B-16-SigLIP2-NaFlex/webli"]
)
def test_a_model_of_pictures_of_any_shape_is_refused_in_words(name: str) -> None:
    with pytest.raises(ConfigError, match="NaFlex"):
        load_encoder(EncoderConfig(name=name))


def test_every_encoder_that_the_page_names_is_known_to_its_library() -> None:
    import open_clip
    import timm

    page = (Path(__file__).parents[1] / "docs" / "howto" / "encoders.md").read_text()
    named = re.findall(r"`(timm|open_clip):([\w./-]+)`", page)
    assert len(named) >= 6
    for library, model in named:
        if library == "timm":
            assert model in timm.list_pretrained(model)
        else:
            assert tuple(model.split("/")) in open_clip.list_pretrained()


def test_the_identity_follows_the_weights_and_not_their_address(weights: dict[str, str], tmp_path: Path) -> None:
    copy, other = tmp_path / "copy.safetensors", tmp_path / "other.safetensors"
    data = Path(weights[TIMM]).read_bytes()
    copy.write_bytes(data)
    other.write_bytes(data[:-4] + b"\x00\x00\x80\x3f")
    one, same, another = (
        identity(EncoderConfig(name=TIMM, weights=str(path))) for path in (weights[TIMM], copy, other)
    )
    assert one == same != another
    assert one.startswith("timm:test_vit")
    assert identity(EncoderConfig(name="builtin")) == BuiltinEncoder.identity


def test_one_encoder_is_shared_by_a_process(weights: dict[str, str]) -> None:
    config = EncoderConfig(name=TIMM, weights=weights[TIMM], device="cpu")
    assert load_encoder(config) is load_encoder(config.model_copy(update={"batch_size": 3}))


@pytest.mark.parametrize(
    "name", ["clip", "timm:", "timm:nosuch", "timm:test_vit.nosuch", "open_clip:nosuch/x", "open_clip:ViT-B-32/nosuch"]
)
def test_an_unknown_encoder_is_a_wrong_setting(name: str) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.name"):
        load_encoder(EncoderConfig(name=name))


@pytest.mark.parametrize("name", [DINO, "open_clip:ViT-B-32/openai"])
def test_without_a_hub_the_error_says_how_to_go_on(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"encoder\.weights.*builtin"):
        load_encoder(EncoderConfig(name=name))


def test_weights_that_are_missing_broken_or_of_another_model_are_model_errors(
    weights: dict[str, str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not tensors")
    for path in (str(tmp_path / "gone.safetensors"), str(broken), weights["clip"]):
        with pytest.raises(ModelError):
            load_encoder(EncoderConfig(name=TIMM, weights=path, device="cpu"))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    import torch

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"state_dict": Payload()}, tmp_path / "bad.pth")
    with pytest.raises(ModelError):
        load_encoder(EncoderConfig(name=TIMM, weights=str(tmp_path / "bad.pth"), device="cpu"))
    assert not (tmp_path / "ran").exists()


def test_out_of_memory_halves_the_batch_and_goes_on(weights: dict[str, str]) -> None:
    import torch

    from presel.encoders.towers import TowerEncoder

    class Cramped(TowerEncoder):
        """A device that holds two pictures."""

        def _forward(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
            if len(pictures) > 2:
                raise torch.OutOfMemoryError("no room")
            return super()._forward(pictures)

    cramped = Cramped(encoders._recipe(TIMM, weights[TIMM]), "cpu")
    roomy = load_encoder(EncoderConfig(name=TIMM, weights=weights[TIMM], device="cpu"))
    prepared = [roomy.prepare(image) for image in pictures(7)]
    assert np.allclose(cramped.encode(prepared), roomy.encode(prepared), atol=1e-5)


def test_a_tower_that_will_not_compile_runs_as_it_is(weights: dict[str, str]) -> None:
    import torch

    from presel.encoders.towers import TowerEncoder

    def broken(*_: Any) -> Any:
        raise OSError("no C compiler")

    tower = TowerEncoder(encoders._recipe(TIMM, weights[TIMM]), "cpu")
    prepared = [tower.prepare(image) for image in pictures(3)]
    plain = tower.encode(prepared)
    tower._tower = torch.compile(tower._eager, backend=broken, dynamic=False)
    assert (tower.encode(prepared) == plain).all()
    assert tower._tower is tower._eager


def test_a_compiled_tower_is_compiled_once_whatever_comes(weights: dict[str, str]) -> None:
    import torch

    from presel.encoders.towers import TowerEncoder

    compiled: list[int] = []

    def counting(graph: Any, _: Any) -> Any:
        compiled.append(1)
        return graph.forward

    tower = TowerEncoder(encoders._recipe(TIMM, weights[TIMM]), "cpu")
    tower._tower = torch.compile(tower._eager, backend=counting, dynamic=False)
    prepared = [tower.prepare(image) for image in pictures(11)]
    whole = tower.encode(prepared)
    first = len(compiled)
    assert first
    assert (np.concatenate([tower.encode(prepared[:3]), tower.encode(prepared[3:])]) == whole).all()
    assert len(compiled) == first


def test_several_devices_share_the_work_and_give_the_same_vectors(weights: dict[str, str]) -> None:
    from presel.encoders.spread import Spread
    from presel.encoders.towers import TowerEncoder

    both_at_once = threading.Barrier(2, timeout=20)
    served: list[int] = []

    class Device(TowerEncoder):
        """Waits until the other one is busy, too: if only one did the work, it would wait in vain."""

        def encode(self, batch: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
            both_at_once.wait()
            served.append(id(self))
            return super().encode(batch)

    recipe = encoders._recipe(TIMM, weights[TIMM])
    spread = Spread([Device(recipe, "cpu"), Device(recipe, "cpu")])
    alone = load_encoder(EncoderConfig(name=TIMM, weights=weights[TIMM], device="cpu"))
    batches = [[spread.prepare(image) for image in pictures(count)] for count in (2, 3, 4, 5)]
    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(spread.encode, batches))
    assert len(set(served)) == 2
    assert all((one == alone.encode(batch)).all() for one, batch in zip(got, batches, strict=True))
    assert (spread.identity, spread.dimensions, spread.side) == (alone.identity, alone.dimensions, alone.side)


def test_a_gpu_that_is_not_there_is_said_plainly(weights: dict[str, str]) -> None:
    import torch

    from presel.encoders.towers import devices

    assert devices("cpu") == ["cpu"]
    if torch.cuda.is_available():
        assert devices("auto") == [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    else:
        assert devices("auto") == ["cpu"]
        with pytest.raises(ModelError, match="no GPU"):
            load_encoder(EncoderConfig(name=TIMM, weights=weights[TIMM], device="cuda"))


def test_the_builtin_encoder_puts_a_picture_near_its_own_variants() -> None:
    from skimage import data

    encoder = BuiltinEncoder()
    originals = [
        Image.fromarray(picture) for picture in (data.astronaut(), data.coffee(), data.chelsea(), data.rocket())
    ]
    variants = [
        image.resize((image.width // 2, image.height // 2)).point(lambda value: min(255, int(value * 1.05)))
        for image in originals
    ]
    vectors = encoder.encode([encoder.prepare(image) for image in (*originals, *variants)])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit[:4] @ unit[4:].T
    assert (cosines.argmax(axis=1) == np.arange(4)).all()
    assert np.diag(cosines).min() > 0.9
    assert (cosines - np.diag(np.diag(cosines))).max() < 0.8


@pytest.mark.parametrize("colour", [0, 127, 128, 255])
def test_the_builtin_encoder_has_a_vector_for_an_empty_picture(colour: int) -> None:
    encoder = BuiltinEncoder()
    vector = encoder.encode([encoder.prepare(Image.new("RGB", (40, 40), (colour,) * 3))])
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) > 0.5
