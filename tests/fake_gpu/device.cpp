// A CUDA device for a CPU build of PyTorch: tensors lie in host memory, and kernels are the CPU's.
//
// PyTorch itself stays what it is. It dispatches on the key CUDA, checks devices and generators, applies CUDA's autocast lists,
// and runs autograd, Dynamo and DistributedDataParallel as on a GPU. Only the ends are replaced: a device tensor is a label on
// host memory, and every operator without a kernel for CUDA reaches `call_cpu_kernel`, which checks what a GPU would refuse,
// exchanges the labels, calls the kernel of the CPU, and exchanges them back. Views stay views of the same memory.
//
// While a program watches, it learns where the host would wait for the GPU and which products are still computed on the CPU.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/record_function.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/csrc/distributed/c10d/reducer_timer.hpp>
#include <torch/library.h>

#include <functional>
#include <mutex>
#include <unordered_set>

namespace fake {

using at::Tensor;
using c10::IValue;

constexpr c10::DeviceIndex kDevices = 2;
thread_local c10::DeviceIndex current = 0;
thread_local bool in_kernel = false;  // operators of the CPU inside a kernel of the device are no work of the host

c10::DeviceIndex index_of(c10::Device device) { return device.has_index() ? device.index() : current; }

// ------------------------------------------------------------------------------------------------ what a program can watch
enum Seen { kWait = 0, kHostProduct = 1 };
using Watcher = void (*)(const char* op, int what);
std::atomic<Watcher> watcher{nullptr};

void note(const std::string& op, Seen what) {
  if (auto* watch = watcher.load()) watch(op.c_str(), what);
}

// Operators whose result the host needs before it can go on: values, or shapes that depend on values.
const std::unordered_set<std::string> kWaits = {
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::unique_dim",
    "aten::unique_consecutive", "aten::repeat_interleave.Tensor", "aten::equal", "aten::bincount", "aten::multinomial",
    "aten::_linalg_eigh", "aten::linalg_cholesky_ex", "aten::_linalg_solve_ex", "aten::_linalg_svd"};

// Operators that index by tensors in argument 1. These may be on the CPU (PyTorch copies them), or masks (it looks for their
// nonzero elements): then the host waits. index.Tensor_out does both by operators that are seen for themselves.
const std::unordered_set<std::string> kIndexing = {
    "aten::index.Tensor", "aten::index_put_", "aten::_index_put_impl_", "aten::index.Tensor_out", "aten::_unsafe_index.Tensor"};

const std::unordered_set<std::string> kProducts = {
    "aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::mv", "aten::addmv", "aten::dot", "aten::convolution",
    "aten::convolution_backward", "aten::_cdist_forward", "aten::_linalg_eigh", "aten::_linalg_svd", "aten::linalg_cholesky_ex",
    "aten::_scaled_dot_product_flash_attention_for_cpu"};

std::unique_ptr<at::ObserverContext> on_operator(const at::RecordFunction& fn) {
  if (in_kernel || !kProducts.count(fn.name())) return nullptr;
  for (const auto& input : fn.inputs())
    if (input.isTensor() && input.toTensor().defined() && !input.toTensor().is_cpu()) return nullptr;
  note(fn.name(), kHostProduct);
  return nullptr;
}

// ---------------------------------------------------------------------------------------------------------------- devices
struct Guard final : public c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::kCUDA; }
  c10::Device exchangeDevice(c10::Device device) const override {
    auto old = getDevice();
    setDevice(device);
    return old;
  }
  c10::Device getDevice() const override { return {c10::kCUDA, current}; }
  void setDevice(c10::Device device) const override { current = index_of(device); }
  void uncheckedSetDevice(c10::Device device) const noexcept override { current = index_of(device); }
  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }
  // All work is done when its call returns: one stream is enough, and events have always happened.
  c10::Stream getStream(c10::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, {c10::kCUDA, index_of(device)});
  }
  c10::Stream getNewStream(c10::Device device, int) const override { return getStream(device); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return getStream(stream.device()); }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override {}
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
};
C10_REGISTER_GUARD_IMPL(CUDA, Guard);

// A generator of the device: refused where the CPU's belongs, and the reverse. Its numbers are the CPU's of the same seed, so
// that results of both can be compared.
struct Generator final : public c10::GeneratorImpl {
  at::Generator inner;
  explicit Generator(c10::DeviceIndex index, at::Generator cpu = at::detail::createCPUGenerator())
      : c10::GeneratorImpl({c10::kCUDA, index}, c10::DispatchKeySet(c10::DispatchKey::CUDA)), inner(std::move(cpu)) {}
  void set_current_seed(uint64_t seed) override { inner.set_current_seed(seed); }
  uint64_t current_seed() const override { return inner.current_seed(); }
  uint64_t seed() override { return inner.seed(); }
  void set_offset(uint64_t) override {}
  uint64_t get_offset() const override { return 0; }
  void set_state(const c10::TensorImpl& state) override { inner.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override { return inner.unsafeGetGeneratorImpl()->get_state(); }
  Generator* clone_impl() const override { return new Generator(device().index(), inner.clone()); }
};

Generator& impl(const at::Generator& generator) { return *static_cast<Generator*>(generator.unsafeGetGeneratorImpl()); }

const at::Generator& default_generator(c10::DeviceIndex index) {
  static const std::vector<at::Generator> all = {at::make_generator<Generator>(0), at::make_generator<Generator>(1)};
  return all.at(index < 0 ? current : index);
}

bool hand_out_defaults = false;  // Python gets the default generators as if they were new: it has no other way to them

// Pinned memory is host memory whose addresses are known: only copies from and to it do not make the host wait.
struct PinnedAllocator final : public c10::Allocator {
  static inline std::mutex mutex;
  static inline std::unordered_set<const void*> known;
  c10::DataPtr allocate(size_t bytes) override {
    auto* data = c10::alloc_cpu(std::max<size_t>(bytes, 1));
    std::lock_guard lock(mutex);
    known.insert(data);
    return {data, data, &release, c10::kCPU};
  }
  static void release(void* data) {
    std::lock_guard lock(mutex);
    known.erase(data);
    c10::free_cpu(data);
  }
  static bool holds(const void* data) {
    std::lock_guard lock(mutex);
    return known.count(data) > 0;
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { memcpy(to, from, bytes); }
};

struct Hooks final : public at::CUDAHooksInterface {
  explicit Hooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex index = -1) const override { return default_generator(index); }
  at::Generator getNewGenerator(c10::DeviceIndex index = -1) const override {
    if (hand_out_defaults) return default_generator(index);
    return at::make_generator<Generator>(index < 0 ? current : index);
  }
  at::Device getDeviceFromPtr(void*) const override { return {c10::kCUDA, current}; }
  bool isPinnedPtr(const void* data) const override { return PinnedAllocator::holds(data); }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    static PinnedAllocator allocator;
    return &allocator;
  }
  c10::DeviceIndex current_device() const override { return current; }
  c10::DeviceIndex getCurrentDevice() const override { return current; }
  void setCurrentDevice(c10::DeviceIndex index) const override { current = index; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex index) const override { return std::exchange(current, index); }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex index) const override { return exchangeDevice(index); }
  c10::DeviceIndex deviceCount() const override { return kDevices; }
  int getNumGPUs() const override { return kDevices; }
  void deviceSynchronize(c10::DeviceIndex) const override {}
};

// ----------------------------------------------------------------------------------------------------- memory and its labels
struct Owner { c10::intrusive_ptr<c10::StorageImpl> storage; };  // the storage whose memory another one shows
void release(void* context) { delete static_cast<Owner*>(context); }

// A view has the keys of its base: in inference mode, those of an ordinary tensor if that is one.
Tensor with_storage(const Tensor& like, c10::Storage storage, c10::DispatchKey key, const Tensor& base = {}) {
  auto keys = c10::DispatchKeySet(key);
  if (like._is_zerotensor()) keys = keys.add(c10::DispatchKey::ZeroTensor);  // of forward-mode differentiation
  auto made = base.defined()
      ? at::detail::make_tensor<c10::TensorImpl>(c10::TensorImpl::VIEW, std::move(storage), base.key_set(), like.dtype())
      : at::detail::make_tensor<c10::TensorImpl>(std::move(storage), keys, like.dtype());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  return made;
}

c10::Storage shown_as(c10::Device device, const c10::intrusive_ptr<c10::StorageImpl>& memory) {
  auto* allocator = device.is_cpu() ? c10::GetCPUAllocator() : nullptr;
  c10::DataPtr data(memory->mutable_data(), new Owner{memory}, &release, device);
  return c10::Storage(c10::Storage::use_byte_size_t(), memory->nbytes(), std::move(data), allocator, device.is_cpu());
}

// The host tensor with the memory of a device tensor.
Tensor to_host(const Tensor& t) {
  auto memory = t.storage().getWeakStorageImpl().lock();
  return with_storage(t, shown_as(c10::kCPU, memory), c10::DispatchKey::CPU);
}

bool shows_device(const Tensor& host) { return host.storage().data_ptr().get_deleter() == &release; }

// The device tensor with the memory of a host tensor, which may itself show the memory of a device tensor.
Tensor to_device(const Tensor& t, c10::DeviceIndex index, const Tensor& base = {}) {
  if (shows_device(t)) {
    c10::Storage storage(static_cast<Owner*>(t.storage().data_ptr().get_context())->storage);
    return with_storage(t, std::move(storage), c10::DispatchKey::CUDA, base);
  }
  auto memory = t.storage().getWeakStorageImpl().lock();
  return with_storage(t, shown_as({c10::kCUDA, index}, memory), c10::DispatchKey::CUDA);
}

// Let a device tensor show the memory and the shape of a host tensor.
void adopt(const Tensor& device, const Tensor& host) {
  auto now = to_device(host, device.device().index());
  device.unsafeGetTensorImpl()->set_storage_keep_dtype(now.storage());
  device.unsafeGetTensorImpl()->set_sizes_and_strides(now.sizes(), now.strides(), now.storage_offset());
}

// ------------------------------------------------------------------------------------------------------ kernels of the CPU
// Apply a function to every defined tensor of an argument or a result, in lists of tensors too.
IValue map_tensors(const IValue& value, const std::function<Tensor(const Tensor&)>& f) {
  auto mapped = [&](const Tensor& t) { return t.defined() ? f(t) : t; };
  if (value.isTensor()) return mapped(value.toTensor());
  if (value.isTensorList()) {
    c10::List<Tensor> list;
    for (const Tensor& t : value.toTensorVector()) list.push_back(mapped(t));
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<Tensor>> list;
    for (const std::optional<Tensor> t : value.toOptionalTensorList())
      list.push_back(t ? std::optional<Tensor>(mapped(*t)) : std::nullopt);
    return list;
  }
  if (value.isList() && value.toListRef().size() && value.toListRef()[0].isTensorList()) {
    c10::impl::GenericList lists(c10::ListType::ofTensors());
    for (const auto& each : value.toListRef()) lists.push_back(map_tensors(each, f));
    return lists;
  }
  return value;
}

void for_each_tensor(const IValue& value, const std::function<void(const Tensor&)>& f) {
  map_tensors(value, [&](const Tensor& t) { f(t); return t; });
}

// Return the device of the operands, after the checks of a GPU: they share one, and only numbers may be on the CPU. In a list
// of tensors no number may: kernels read all of it on the device.
std::optional<c10::DeviceIndex> common_device(const std::string& name, const std::vector<IValue>& arguments) {
  Tensor first;
  auto refuse = [&](const Tensor& other) {
    TORCH_CHECK(false, name, ": expected all tensors to be on the same device, but found ", first.device(), " and ", other.device());
  };
  for (const auto& argument : arguments)
    for_each_tensor(argument, [&](const Tensor& t) {
      if (!t.is_cuda()) return;
      if (!first.defined()) first = t;
      if (t.device() != first.device()) refuse(t);
    });
  if (!first.defined()) return std::nullopt;
  for (size_t i = 0; i < arguments.size(); ++i)
    for_each_tensor(arguments[i], [&](const Tensor& t) {
      const bool number = t.dim() == 0 && arguments[i].isTensor();
      if (!t.is_cuda() && !number && !(kIndexing.count(name) && i == 1)) refuse(t);
    });
  return first.device().index();
}

bool waits(const std::string& name, const std::vector<IValue>& arguments) {
  if (kWaits.count(name)) return true;
  if (!kIndexing.count(name) || name == "aten::index.Tensor_out") return false;
  bool found = false;
  bool fills = arguments.size() > 2 && arguments[2].isTensor() && arguments[2].toTensor().numel() == 1;  // masked_fill
  for_each_tensor(arguments[1], [&](const Tensor& t) {
    found = found || (t.is_cpu() && t.dim() > 0) || (t.scalar_type() == at::kBool && !fills);
  });
  return found;
}

// Return the generator of the CPU that is inside one of the device.
IValue inner_generator(const at::Generator& generator, bool on_device) {
  TORCH_CHECK(generator.device().is_cuda() == on_device, "Expected a '", on_device ? "cuda" : "cpu",
      "' device type for generator but found '", generator.device().type(), "'");
  return on_device ? impl(generator).inner : generator;
}

// Give the device tensors that an operator changed in place the memory and the shape that their host tensors have now.
void adopt_changes(const IValue& before, const IValue& after) {
  if (!before.isTensor() || !after.isTensor() || !before.toTensor().is_cuda()) return;
  const auto &t = before.toTensor(), &host = after.toTensor();
  if (t.sizes() != host.sizes() || t.strides() != host.strides() || !shows_device(host)) adopt(t, host);
}

void call_cpu_kernel(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const auto& overload = schema.operator_name().overload_name;
  const auto name = schema.operator_name().name + (overload.empty() ? "" : "." + overload);
  const auto count = schema.arguments().size(), start = stack->size() - count;
  const std::vector<IValue> arguments(stack->begin() + start, stack->end());
  auto device = common_device(name, arguments);
  if (waits(name, arguments)) note(name, kWait);

  bool makes_device_tensor = device.has_value();
  for (const auto& argument : arguments)
    if (argument.isDevice() && argument.toDevice().is_cuda()) {
      makes_device_tensor = true;
      if (!device) device = index_of(argument.toDevice());
    }
  const auto& own_generator = default_generator(device.value_or(current));
  for (size_t i = 0; i < count; ++i) {
    auto& argument = (*stack)[start + i];
    if (argument.isDevice() && argument.toDevice().is_cuda()) argument = c10::Device(c10::kCPU);
    else if (argument.isGenerator()) argument = inner_generator(argument.toGenerator(), makes_device_tensor);
    else if (argument.isNone() && schema.arguments()[i].type()->str().find("Generator") != std::string::npos)
      argument = impl(own_generator).inner;
    else argument = map_tensors(argument, [](const Tensor& t) { return t.is_cuda() ? to_host(t) : t; });
  }

  // Dropout has no argument for a generator: lend the CPU's default one the state of the device's.
  const bool lend = name == "aten::native_dropout";
  auto cpu_generator = at::detail::getDefaultCPUGenerator();
  auto kept = lend ? cpu_generator.get_state() : Tensor();
  if (lend) cpu_generator.set_state(own_generator.get_state());
  const bool outer = std::exchange(in_kernel, true);
  op.callBoxed(stack);
  in_kernel = outer;
  if (lend) {
    auto used = cpu_generator.get_state();
    cpu_generator.set_state(kept);
    at::Generator(own_generator).set_state(used);
  }

  const auto returns = schema.returns().size(), out = stack->size() - returns;
  for (size_t r = 0; r < returns; ++r) {
    auto& result = (*stack)[out + r];
    const auto* alias = schema.returns()[r].alias_info();
    if (alias && alias->isWrite()) {  // the argument itself
      for (size_t i = 0; i < count; ++i) {
        const auto* written = schema.arguments()[i].alias_info();
        if (!written || *written != *alias) continue;
        adopt_changes(arguments[i], result);
        result = arguments[i];
      }
      continue;
    }
    Tensor base;  // of a view
    for (size_t i = 0; alias && i < count; ++i) {
      const auto* viewed = schema.arguments()[i].alias_info();
      if (viewed && viewed->beforeSets() == alias->beforeSets() && arguments[i].isTensor()) base = arguments[i].toTensor();
    }
    const auto index = device.value_or(current);
    result = map_tensors(result, [&](const Tensor& t) { return t.is_cpu() ? to_device(t, index, base) : t; });
  }
}

// -------------------------------------------------------------------------------------------- what needs more than its kernel
// A copy between the memories: the host waits, unless its side is pinned and it said that it does not need to.
Tensor& copy_(Tensor& self, const Tensor& src, bool non_blocking) {
  if (self.is_same(src)) return self;
  const auto& host = src.is_cuda() ? self : src;
  if (src.is_cuda() != self.is_cuda() && !(non_blocking && PinnedAllocator::holds(host.storage().data())))
    note(src.is_cuda() ? "copy to the host" : "copy to the device", kWait);
  const bool outer = std::exchange(in_kernel, true);
  (self.is_cuda() ? to_host(self) : self).copy_(src.is_cuda() ? to_host(src) : src);
  in_kernel = outer;
  return self;
}
Tensor copy_from(const Tensor& self, const Tensor& to, bool non_blocking) {
  auto target = to;
  return copy_(target, self, non_blocking);
}

const Tensor& resize_(const Tensor& self, c10::SymIntArrayRef size, std::optional<at::MemoryFormat> format) {
  auto host = to_host(self);
  host.resize_(C10_AS_INTARRAYREF_SLOW(size), format);
  if (self.sizes() != host.sizes() || !shows_device(host)) adopt(self, host);
  return self;
}
Tensor& set_storage(Tensor& self, c10::Storage source, c10::SymInt offset, c10::SymIntArrayRef size, c10::SymIntArrayRef stride) {
  self.unsafeGetTensorImpl()->set_storage_keep_dtype(std::move(source));
  self.unsafeGetTensorImpl()->set_sizes_and_strides(
      C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), offset.guard_int(__FILE__, __LINE__));
  return self;
}

Tensor empty_strided(c10::SymIntArrayRef size, c10::SymIntArrayRef stride, std::optional<at::ScalarType> dtype,
    std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool>) {
  auto host = at::empty_strided(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), at::TensorOptions().dtype(dtype));
  return to_device(host, index_of(device.value_or(c10::Device(c10::kCUDA))));
}
Tensor empty(c10::SymIntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
    std::optional<at::Device> device, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  auto host = at::empty(C10_AS_INTARRAYREF_SLOW(size), at::TensorOptions().dtype(dtype), format);
  return to_device(host, index_of(device.value_or(c10::Device(c10::kCUDA))));
}
void record_stream(Tensor&, c10::Stream) {}

auto boxed() { return torch::CppFunction::makeFromBoxedFunction<&call_cpu_kernel>(); }

TORCH_LIBRARY_IMPL(_, CUDA, m) { m.fallback(boxed()); }
TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  // PyTorch has kernels for these that choose by the device among others, which a CPU build lacks.
  for (const char* name : {"convolution", "convolution_backward", "native_group_norm", "native_group_norm_backward", "silu_backward"})
    m.impl(name, boxed());
  m.impl("copy_", TORCH_FN(copy_));
  m.impl("_copy_from", TORCH_FN(copy_from));
  m.impl("resize_", TORCH_FN(resize_));
  m.impl("set_.source_Storage_storage_offset", TORCH_FN(set_storage));
  m.impl("empty.memory_format", TORCH_FN(empty));
  m.impl("empty_strided", TORCH_FN(empty_strided));
  m.impl("record_stream", TORCH_FN(record_stream));
}
// Groups of processes: gloo, on the same memory.
TORCH_LIBRARY_IMPL(c10d, CUDA, m) {
  for (const char* name : {"allreduce_", "broadcast_", "allgather_", "_allgather_base_", "barrier", "reduce_"})
    m.impl(name, boxed());
}
struct Timer final : public c10d::Timer {
  explicit Timer(c10::Device) {}
  std::optional<int64_t> measureDifference(Event, Event) override { return std::nullopt; }
};
}  // namespace fake
namespace at {
using CUDAHooks = fake::Hooks;  // PyTorch looks for this name
REGISTER_CUDA_HOOKS(CUDAHooks);
}
namespace c10d {
C10_REGISTER_TYPED_CLASS(TimerRegistry, c10::kCUDA, fake::Timer)
}

// -------------------------------------------------------------------------------------------------- for device.py (ctypes)
extern "C" {
void fake_watch(fake::Watcher watch) {
  static at::CallbackHandle handle = 0;
  if (handle) at::removeCallback(handle);
  fake::watcher = watch;
  handle = watch ? at::addGlobalCallback(at::RecordFunctionCallback(&fake::on_operator)
      .needsInputs(true).scopes({at::RecordScope::FUNCTION})) : 0;
}
void fake_set_device(int index) { fake::current = static_cast<c10::DeviceIndex>(index); }
int fake_current_device() { return fake::current; }
void fake_hand_out_default_generators(int yes) { fake::hand_out_defaults = yes; }
}
