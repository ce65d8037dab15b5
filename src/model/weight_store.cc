#include "model/weight_store.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "kernel/block_formats.h"
#include "kernel/linear.h"
#include "model/attention.h"

namespace darkhorse {
namespace {

// Rows that are read and packed at once: whole panels of every format, and enough of them that a
// task is worth starting.
constexpr int64_t kRows = 128;

constexpr int64_t kFloatBytes = static_cast<int64_t>(sizeof(float));

int64_t Lines(int64_t bytes) { return (bytes + 63) / 64 * 16; }

// One tensor, or one more form of one, and where in the buffer it goes.
struct Item {
  ParamSpec spec;
  Weight* weight = nullptr;  // a matrix
  float** vector = nullptr;  // or a vector
  Format format = Format::kF32;
  StoredRows stored;    // packed from these, where the format is of blocks
  bool packed = false;  // else plain rows of f32
  int64_t floats = 0;
  float* data = nullptr;

  int64_t rows() const { return spec.shape[0]; }
  int64_t cols() const { return spec.shape.size() > 1 ? spec.shape[1] : 1; }
};

bool IsMultipliedBy(ParamKind kind) {
  return kind == ParamKind::kMatrix || kind == ParamKind::kHead || kind == ParamKind::kRouter;
}

class Plan {
 public:
  Plan(const ModelConfig& config, const ParamSource& source, const WeightStore::Choose& choose,
       ModelWeights& model)
      : source_(source), choose_(choose) {
    ListTensors(config, model, [&](auto& tensor, const ParamSpec& spec) {
      if constexpr (std::is_same_v<decltype(tensor), float*&>) {
        Add({.spec = spec, .vector = &tensor, .floats = Lines(spec.shape[0] * kFloatBytes)});
      } else if (IsMultipliedBy(spec.kind)) {
        AddPacked(spec, tensor);
        // The latent cache reads slices of it, forward and backward.
        if (config.latent_attention() && spec.name.ends_with("kv_b_proj.weight"))
          AddPlain(spec, tensor);
      } else {
        AddEmbedding(spec, tensor);
      }
    });
    if (config.tie_word_embeddings) {
      ParamSpec head = embedding_;
      head.kind = ParamKind::kHead;
      AddPacked(head, model.lm_head);
    }
  }

  int64_t floats() const {
    int64_t sum = 0;
    for (const Item& item : items_) sum += item.floats;
    return sum;
  }

  void Fill(float* buffer) {
    struct Part {
      const Item* item;
      int64_t begin;
    };
    std::vector<Part> parts;
    for (Item& item : items_) {
      item.data = buffer;
      buffer += item.floats;
      Point(item);
      for (int64_t begin = 0; begin < item.rows(); begin += kRows) parts.push_back({&item, begin});
    }
    ParallelFor(static_cast<int64_t>(parts.size()), [&](int64_t i) {
      const Part& part = parts[static_cast<size_t>(i)];
      FillPart(*part.item, part.begin, std::min(kRows, part.item->rows() - part.begin));
    });
  }

 private:
  void Add(Item item) { items_.push_back(std::move(item)); }

  void AddPacked(const ParamSpec& spec, Weight& weight) {
    const Format format = spec.kind == ParamKind::kRouter ? Format::kF32 : choose_(spec);
    weight.w = Matrix(nullptr, spec.shape[0], spec.shape[1]);
    weight.format = format;
    Item item{.spec = spec, .weight = &weight, .format = format, .packed = true};
    item.floats = Lines(ForwardBytes(format, item.rows(), item.cols()));
    if (IsBlocks(format)) item.stored = source_.Rows(spec);
    Add(std::move(item));
  }

  void AddPlain(const ParamSpec& spec, Weight& weight) {
    Add({.spec = spec,
         .weight = &weight,
         .floats = Lines(spec.shape[0] * spec.shape[1] * kFloatBytes)});
  }

  void AddEmbedding(const ParamSpec& spec, Weight& weight) {
    embedding_ = spec;
    weight.w = Matrix(nullptr, spec.shape[0], spec.shape[1]);
    const StoredRows stored = source_.Rows(spec);
    if (!stored.type || !stored.in_order) return AddPlain(spec, weight);
    weight.stored = stored.row(0);
    weight.stored_type = stored.type;
  }

  static void Point(const Item& item) {
    if (item.vector) {
      *item.vector = item.data;
    } else if (item.packed) {
      item.weight->forward = item.data;
    } else {
      item.weight->w.data = item.data;
    }
  }

  void FillPart(const Item& item, int64_t begin, int64_t count) const {
    if (!item.packed) {
      source_.ReadRows(item.spec, begin, count, item.data + begin * item.cols());
      return;
    }
    auto* packed =
        reinterpret_cast<std::byte*>(item.data) + ForwardBytes(item.format, begin, item.cols());
    if (IsBlocks(item.format)) {
      PackBlocks(
          item.format, count, item.cols(),
          [&](int64_t row) { return item.stored.row(begin + row); }, packed);
      return;
    }
    thread_local std::vector<float> rows;
    rows.resize(static_cast<size_t>(count * item.cols()));
    source_.ReadRows(item.spec, begin, count, rows.data());
    PackForward({Matrix(rows.data(), count, item.cols()), item.format}, packed);
  }

  const ParamSource& source_;
  const WeightStore::Choose& choose_;
  std::vector<Item> items_;
  ParamSpec embedding_;
};

}  // namespace

Format WeightStore::AsStored(const ParamSource& source, const ParamSpec& param) {
  const GgmlTypeInfo* type = source.Rows(param).type;
  if (!type) return Format::kF32;
  if (type->type == GgmlType::kBf16 || type->type == GgmlType::kF16) return Format::kBf16;
  return BlockFormatOf(type->type).value_or(Format::kF32);
}

WeightStore::WeightStore(const ModelConfig& config, const ParamSource& source,
                         const Choose& format) {
  Plan plan(config, source, format, model_);
  buffer_ = FloatBuffer(plan.floats());
  plan.Fill(buffer_.data());
}

int64_t WeightStore::Bytes(const ModelConfig& config, const ParamSource& source,
                           const Choose& format) {
  ModelWeights shapes;
  return Plan(config, source, format, shapes).floats() * kFloatBytes;
}

Format WeightStore::AttentionFormat(const ModelConfig& config, const ParamSource& source,
                                    const Choose& format) {
  ModelWeights shapes;
  const Plan plan(config, source, format, shapes);
  const LayerWeights& layer = shapes.layers.front();
  return darkhorse::AttentionFormat(config.latent_attention() ? layer.mla.o_proj
                                                              : layer.gqa.o_proj);
}

}  // namespace darkhorse
