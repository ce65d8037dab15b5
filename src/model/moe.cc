#include "model/moe.h"

#include <algorithm>
#include <numeric>

#include "kernel/linear.h"
#include "kernel/ops.h"

namespace darkhorse {
namespace {

// A counting sort, stable in token order.
Dispatch SortByExpert(const PassContext& pass, const Routing& routing, int64_t rows) {
  const int64_t k = pass.config.num_experts_per_tok;
  Dispatch dispatch;
  dispatch.source = pass.arena.Ints(rows * k);
  dispatch.slot = pass.arena.Ints(rows * k);
  std::vector<int64_t> counts;
  CountLoad(pass.config, routing, rows, counts);
  dispatch.row_begin.assign(counts.size() + 1, 0);
  std::partial_sum(counts.begin(), counts.end(), dispatch.row_begin.begin() + 1);
  std::vector<int64_t> next(dispatch.row_begin.begin(), dispatch.row_begin.end() - 1);
  for (int64_t i = 0; i < rows * k; ++i) {
    const int64_t sorted = next[static_cast<size_t>(routing.expert[i])]++;
    dispatch.slot[i] = static_cast<int32_t>(sorted);
    dispatch.source[sorted] = static_cast<int32_t>(i / k);
  }
  return dispatch;
}

// Of every visit to an expert the adapter of its row.
AdapterOfRow VisitAdapters(const PassContext& pass, const Dispatch& dispatch, int64_t visits) {
  if (pass.adapter_of_row.empty()) return {};
  int32_t* adapter = pass.arena.Ints(visits);
  for (int64_t i = 0; i < visits; ++i)
    adapter[i] = pass.adapter_of_row[static_cast<size_t>(dispatch.source[i])];
  return {adapter, static_cast<size_t>(visits)};
}

}  // namespace

void MoeForward(const PassContext& pass, const MoeWeights& w, ConstMatrix x, Matrix y,
                MoeSaved* saved) {
  MoeSaved local;
  MoeSaved& s = saved ? *saved : local;
  const int64_t k = pass.config.num_experts_per_tok;
  const int64_t visits = x.rows * k;
  const int64_t intermediate = pass.config.moe_intermediate_size;
  {
    const PartTimer timer(pass.clock, Part::kRouter);
    s.routing = Route(pass, w, x);
  }
  s.dispatch = SortByExpert(pass, s.routing, x.rows);
  s.x = pass.arena.NewMatrix(visits, x.cols);
  s.gate = pass.arena.NewMatrix(visits, intermediate);
  s.up = pass.arena.NewMatrix(visits, intermediate);
  s.activated = pass.arena.NewMatrix(visits, intermediate);
  s.out = pass.arena.NewMatrix(visits, x.cols);
  GatherRows(x, {s.dispatch.source, static_cast<size_t>(visits)}, s.x);
  const AdapterOfRow adapters = VisitAdapters(pass, s.dispatch, visits);
  GroupedForward(s.x, s.dispatch.row_begin, w.gate_proj, s.gate, adapters);
  GroupedForward(s.x, s.dispatch.row_begin, w.up_proj, s.up, adapters);
  SwiGluForward(s.gate, s.up, s.activated);
  GroupedForward(s.activated, s.dispatch.row_begin, w.down_proj, s.out, adapters);
  CombineRows(s.out, s.dispatch.slot, s.routing.weight, k, y, /*add_to_y=*/true);
  if (w.shared.gate_proj.present()) MlpForward(pass, w.shared, x, y, &s.shared);
}

void MoeBackward(const PassContext& pass, const MoeWeights& w, const MoeSaved& s, ConstMatrix dy,
                 ConstMatrix x, float balance_alpha, Matrix dx, const MoeGradients& grads) {
  const int64_t k = pass.config.num_experts_per_tok;
  const int64_t visits = x.rows * k;
  ArenaScope scope(pass.arena);
  float* dweight = pass.arena.Floats(visits);
  const Matrix dout = pass.arena.NewMatrix(visits, x.cols);
  const Matrix dactivated = pass.arena.NewMatrix(visits, s.gate.cols);
  const Matrix dgate = pass.arena.NewMatrix(visits, s.gate.cols);
  const Matrix dup = pass.arena.NewMatrix(visits, s.gate.cols);

  CombineRowsBackward(dy, s.out, s.dispatch.slot, s.routing.weight, k, dout, dweight);
  const auto& begin = s.dispatch.row_begin;
  GroupedBackward(dout, s.activated, begin, w.down_proj, dactivated, false, grads.down_proj);
  SwiGluBackward(dactivated, s.gate, s.up, dgate, dup);
  const Matrix dvisit = dout;  // its gradient is spent; the rows are reused for the inputs'
  GroupedBackward(dgate, s.x, begin, w.gate_proj, dvisit, false, grads.gate_proj);
  GroupedBackward(dup, s.x, begin, w.up_proj, dvisit, true, grads.up_proj);
  CombineRows(dvisit, s.dispatch.slot, nullptr, k, dx, /*add_to_y=*/false);
  {
    const PartTimer timer(pass.clock, Part::kRouter);
    RouteBackward(pass, w, s.routing, dweight, x, balance_alpha, dx, grads);
  }
  if (w.shared.gate_proj.present())
    MlpBackward(pass, w.shared, s.shared, dy, x, dx, /*add_to_dx=*/true, grads.shared);
}

}  // namespace darkhorse
