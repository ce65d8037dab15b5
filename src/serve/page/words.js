// What the page says, in English and Chinese, and in which of them it says it.
const words = {
  answer: ["Answer", "回答"],
  answered: ["The answer is complete", "回答完成"],
  ask: ["Your message", "你的消息"],
  askHint: ["Ask something", "请输入问题"],
  automatic: ["Automatic", "自动"],
  branch: ["{0} of {1}", "第 {0} 个，共 {1} 个"],
  budget: ["Thinking budget, tokens (empty: none)", "思考预算（词元，空：不限）"],
  budgetEnded: ["its thought was ended at the budget", "思考达到预算后结束"],
  cached: ["{0} of {1} prompt tokens from the cache", "提示 {1} 个词元，其中 {0} 个来自缓存"],
  cancel: ["Cancel", "取消"],
  chat: ["Chat", "对话"],
  chats: ["Conversations", "对话列表"],
  closeList: ["Close the list", "关闭列表"],
  conversation: ["Conversation", "对话内容"],
  copied: ["Copied", "已复制"],
  copy: ["Copy", "复制"],
  copyCode: ["Copy the code", "复制代码"],
  cut: ["cut off: the longest answer or the context is full", "已截断：达到最大长度或上下文已满"],
  dark: ["Dark", "深色"],
  delete: ["Delete", "删除"],
  deleteSure: ["Delete “{0}”?", "删除“{0}”？"],
  done: ["Done", "完成"],
  edit: ["Edit", "编辑"],
  empty: ["Nothing has been said yet", "还没有消息"],
  export: ["Export", "导出"],
  exportAll: ["Export all conversations", "导出全部对话"],
  full: ["The browser's storage is full: this conversation is not kept. Export and delete some.",
         "浏览器存储已满，此对话未保存。请导出并删除一些对话。"],
  import: ["Import conversations", "导入对话"],
  imported: ["{0} imported", "已导入 {0} 个对话"],
  importWrong: ["{0} holds no conversations of this page: {1}", "{0} 中没有本页的对话：{1}"],
  key: ["Key, for this session", "密钥（仅本次会话）"],
  keyAsk: ["The server asks for a key", "服务器需要密钥"],
  keyWrong: ["The server does not know this key", "服务器不认识此密钥"],
  keys: ["Keyboard", "键盘"],
  keyEdit: ["edits the last question, from an empty message", "在空消息中编辑上一个问题"],
  keyLine: ["begins a line", "换行"],
  keyNew: ["new conversation", "新对话"],
  keySend: ["sends", "发送"],
  keySettings: ["settings", "设置"],
  keyStop: ["stops the answer", "停止回答"],
  language: ["Language", "语言"],
  licences: ["Licences", "许可"],
  light: ["Light", "浅色"],
  maxTokens: ["Longest answer, tokens", "最大回答长度（词元）"],
  message: ["Your message", "你的消息"],
  model: ["Model", "模型"],
  new: ["New chat", "新对话"],
  next: ["Next version", "下一个版本"],
  off: ["Off", "关闭"],
  on: ["On", "开启"],
  openList: ["Conversations", "对话列表"],
  previous: ["Previous version", "上一个版本"],
  rename: ["Rename", "重命名"],
  retry: ["Retry", "重试"],
  save: ["Save", "保存"],
  send: ["Send", "发送"],
  server: ["Server", "服务器"],
  settings: ["Settings", "设置"],
  standard: ["The model's", "模型默认"],
  stop: ["Stop", "停止"],
  stopped: ["stopped", "已停止"],
  system: ["System prompt", "系统提示"],
  temperature: ["Temperature (empty: the server's)", "温度（空：服务器默认）"],
  theme: ["Appearance", "外观"],
  thinking: ["Thinking", "思考"],
  thinks: ["Thinking…", "思考中…"],
  thought: ["Thought", "思考"],
  tokens: ["{0} tokens", "{0} 个词元"],
  tokensSecond: ["{0} tokens/s", "{0} 词元/秒"],
  topP: ["Top-p (empty: the server's)", "Top-p（空：服务器默认）"],
  unreachable: ["The server cannot be reached", "无法连接服务器"],
  untitled: ["New chat", "新对话"],
  views: ["Views", "视图"],
  waiting: ["Waiting…", "等待中…"],
  // The server's view.
  accepted: ["Guesses that were right", "猜对的词元"],
  answeredCount: ["Requests answered", "已回答请求"],
  busy: ["Load", "负载"],
  cacheHits: ["Prompt tokens from the cache", "提示缓存命中"],
  connections: ["Connections", "连接"],
  generated: ["Tokens generated", "已生成词元"],
  generatedRate: ["Generated tokens/s", "生成词元/秒"],
  keyTokens: ["Tokens of each key", "各密钥用量（词元）"],
  leftCount: ["Clients that left", "中途离开"],
  memory: ["Memory", "内存"],
  most: ["most {0}", "最高 {0}"],
  now: ["now {0}", "当前 {0}"],
  of: ["{0} of {1}", "{0}/{1}"],
  promptRate: ["Prompt tokens/s", "提示词元/秒"],
  queue: ["Queue", "排队"],
  refusedCount: ["Requests refused", "已拒绝请求"],
  running: ["Running", "运行中"],
};

let chinese = false;

// language: "en", "zh", or "" for the browser's.
export function setLanguage(language) {
  chinese = (language || navigator.language).startsWith("zh");
  document.documentElement.lang = chinese ? "zh" : "en";
  applyWords(document.body);
}

export function say(key, ...values) {
  return words[key][chinese ? 1 : 0].replace(/\{(\d)\}/g, (_, which) => values[which]);
}

export function applyWords(root) {
  for (const element of root.querySelectorAll("[data-word]"))
    element.textContent = say(element.dataset.word);
  for (const element of root.querySelectorAll("[data-label]")) name(element, element.dataset.label);
  for (const element of root.querySelectorAll("[data-hint]"))
    element.placeholder = say(element.dataset.hint);
}

// Names a control for those who do not see its drawing, and for a pointer that rests on it.
export function name(element, key) {
  element.dataset.label = key;
  element.setAttribute("aria-label", say(key));
  if (element.tagName === "BUTTON") element.title = say(key);
}
