;; One AdamW step over a stretch of parameters, four at a time; see `adamW` in optimizers.ts for the formula. Pointers are in
;; bytes, the stretch is a multiple of 16 bytes long.
(module
  (import "host" "memory" (memory 1))
  (func (export "adamw")
    (param $weight i32) (param $gradient i32) (param $first i32) (param $second i32) (param $length i32)
    (param $scale f32) (param $beta1 f32) (param $beta2 f32)
    (param $step f32) (param $epsilon f32) (param $keep f32)
    (local $at i32) (local $g v128) (local $f v128) (local $s v128)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $length)))
        (local.set $g
          (f32x4.mul
            (v128.load (i32.add (local.get $gradient) (local.get $at)))
            (f32x4.splat (local.get $scale))))
        (local.set $f
          (f32x4.add
            (f32x4.mul
              (v128.load (i32.add (local.get $first) (local.get $at)))
              (f32x4.splat (local.get $beta1)))
            (local.get $g)))
        (local.set $s
          (f32x4.add
            (f32x4.mul
              (v128.load (i32.add (local.get $second) (local.get $at)))
              (f32x4.splat (local.get $beta2)))
            (f32x4.mul (local.get $g) (local.get $g))))
        (v128.store (i32.add (local.get $first) (local.get $at)) (local.get $f))
        (v128.store (i32.add (local.get $second) (local.get $at)) (local.get $s))
        (v128.store
          (i32.add (local.get $weight) (local.get $at))
          (f32x4.sub
            (f32x4.mul
              (v128.load (i32.add (local.get $weight) (local.get $at)))
              (f32x4.splat (local.get $keep)))
            (f32x4.mul
              (f32x4.div
                (local.get $f)
                (f32x4.add (f32x4.sqrt (local.get $s)) (f32x4.splat (local.get $epsilon))))
              (f32x4.splat (local.get $step)))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $next)))))
