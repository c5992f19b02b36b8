// One clock for all lanes. It looks like a media element, so that every waveform follows it and may move it.
// Each lane is a buffer of its own with a gain of its own, and all of them start at the same instant.
"use strict";
View.Player = class extends EventTarget {
  constructor() {
    super();
    Object.assign(this, {
      duration: 0,
      volume: 1,
      muted: false,
      src: "",
      currentSrc: "",
      ended: false,
      paused: true,
      error: null,
      lanes: [],
      context: null,
      from: 0,
      started: 0,
      rate: 1,
      run: 0,
      wanted: false, // somebody asked for sound before there was any
    });
  }

  // lanes: [{buffer: AudioBuffer of one channel, or null}]. A set without sound keeps time by the page's clock.
  load(lanes, duration) {
    this.pause();
    this.lanes = lanes.map((lane) => ({ buffer: lane.buffer, gain: null, meter: null, source: null, volume: 1 }));
    this.duration = duration;
    this.ended = false;
    this.currentTime = 0;
    this.dispatchEvent(new Event("loadedmetadata"));
    if (this.wanted) this.play();
    this.wanted = false;
  }

  get hasSound() {
    return this.lanes.some((lane) => lane.buffer);
  }

  get now() {
    return this.hasSound && this.context ? this.context.currentTime : performance.now() / 1000;
  }

  get currentTime() {
    if (this.paused) return this.from;
    return Math.min(this.duration, this.from + Math.max(0, this.now - this.started) * this.rate);
  }

  set currentTime(seconds) {
    const playing = !this.paused;
    if (playing) this.stopSources();
    this.from = Math.max(0, Math.min(seconds, this.duration));
    this.started = this.now;
    this.ended = false;
    if (playing) this.startSources();
    for (const name of ["seeking", "timeupdate", "seeked"]) this.dispatchEvent(new Event(name));
  }

  get playbackRate() {
    return this.rate;
  }

  set playbackRate(rate) {
    const at = this.currentTime;
    this.rate = rate;
    this.currentTime = at;
    this.dispatchEvent(new Event("ratechange"));
  }

  async play() {
    if (!this.duration) this.wanted = true;
    if (!this.paused || !this.duration) return;
    if (this.hasSound) {
      this.context = this.context || new AudioContext();
      const run = ++this.run;
      await this.context.resume();
      if (run !== this.run || !this.paused) return; // stopped or loaded anew in the meantime
    }
    if (this.from >= this.duration - 0.01) this.from = 0;
    this.paused = false;
    this.ended = false;
    this.startSources();
    this.dispatchEvent(new Event("play"));
    this.tick();
  }

  pause() {
    this.run += 1;
    if (this.paused) return;
    this.from = this.currentTime;
    this.paused = true;
    this.stopSources();
    this.dispatchEvent(new Event("pause"));
  }

  toggle() {
    return this.paused ? this.play() : this.pause();
  }

  tick() {
    if (this.paused) return;
    if (this.currentTime >= this.duration) {
      this.pause();
      this.from = this.duration;
      this.ended = true;
      this.dispatchEvent(new Event("timeupdate"));
      this.dispatchEvent(new Event("ended"));
      return;
    }
    this.dispatchEvent(new Event("frame"));
    requestAnimationFrame(() => this.tick());
  }

  startSources() {
    this.started = this.now;
    if (!this.context) return;
    const at = this.context.currentTime + 0.02;
    if (this.hasSound) this.started = at;
    for (const lane of this.lanes) {
      if (!lane.buffer) continue;
      lane.gain = lane.gain || new GainNode(this.context, { gain: lane.volume });
      lane.meter = lane.meter || new AnalyserNode(this.context, { fftSize: 1024 });
      lane.source = new AudioBufferSourceNode(this.context, { buffer: lane.buffer, playbackRate: this.rate });
      lane.source.connect(lane.gain).connect(lane.meter).connect(this.context.destination);
      lane.source.start(at, this.from);
    }
  }

  stopSources() {
    for (const lane of this.lanes) {
      if (!lane.source) continue;
      lane.source.stop();
      lane.source.disconnect();
      lane.source = null;
    }
  }

  setVolume(number, volume) {
    const lane = this.lanes[number];
    lane.volume = volume;
    if (lane.gain) lane.gain.gain.setValueAtTime(volume, this.context.currentTime);
  }

  // How loud a lane is now, after its gain, in [0, 1].
  level(number) {
    const lane = this.lanes[number];
    if (this.paused || !lane.meter) return 0;
    const samples = new Float32Array(lane.meter.fftSize);
    lane.meter.getFloatTimeDomainData(samples);
    return samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  }

  // What a waveform expects of a media element, and this clock does not need.
  canPlayType() {
    return "";
  }

  removeAttribute() {}
};

// Samples of FLAC at their own rate, one AudioBuffer per channel.
View.decode = async function (bytes, rate) {
  const both = await new OfflineAudioContext(2, 1, rate).decodeAudioData(bytes);
  return Array.from({ length: both.numberOfChannels }, (_, channel) => {
    const one = new AudioBuffer({ length: both.length, numberOfChannels: 1, sampleRate: both.sampleRate });
    one.copyToChannel(both.getChannelData(channel), 0);
    return one;
  });
};

// The extremes of each hundredth of a second of a lane, alternating, and the loudest sample. A lane may be longer than its
// sound: a row ends with its last block.
View.peaks = function (buffer, length_s) {
  const count = Math.max(1, Math.ceil(100 * length_s));
  const peaks = new Float32Array(2 * count);
  if (!buffer) return { peaks, loudest: 0 };
  const samples = buffer.getChannelData(0);
  const edge = (at) => Math.min(samples.length, Math.round((at / count) * length_s * buffer.sampleRate));
  let loudest = 0;
  for (let at = 0; at < count; at += 1) {
    let [low, high] = [0, 0];
    for (let sample = edge(at); sample < edge(at + 1); sample += 1) {
      low = Math.min(low, samples[sample]);
      high = Math.max(high, samples[sample]);
    }
    peaks[2 * at] = high;
    peaks[2 * at + 1] = low;
    loudest = Math.max(loudest, high, -low);
  }
  return { peaks, loudest };
};
